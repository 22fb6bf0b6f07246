// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"freshet/internal/pgserver"
)

// process is the worker as a child process.
type process struct {
	binary string
	dir    string
	url    string
	files  []string
	cmd    *exec.Cmd
	log    *os.File
}

// newPassword makes the password of the databases: nobody else needs it.
func newPassword() (string, error) {
	var b [12]byte
	_, err := rand.Read(b[:])
	return hex.EncodeToString(b[:]), err
}

// newProcess writes the three files of the worker, in the forms that Kafka Connect and Debezium use.
func newProcess(ctx context.Context, binary, dir string, pg *pgserver.Server, password string) (*process, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	p := &process{binary: binary, dir: dir, url: "http://" + address}
	sink, err := json.MarshalIndent(map[string]any{"name": "persons-jdbc-sink", "config": map[string]string{
		"connector.class":        "io.debezium.connector.jdbc.JdbcSinkConnector",
		"topics":                 "dbserver1.persons",
		"connection.url":         fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/target", pg.Port()),
		"connection.username":    pgserver.User,
		"connection.password":    password,
		"insert.mode":            "upsert",
		"primary.key.mode":       "record_key",
		"delete.enabled":         "true",
		"schema.evolution":       "basic",
		"collection.name.format": "persons",
	}}, "", "  ")
	if err != nil {
		return nil, err
	}
	for _, f := range []struct{ name, text string }{
		{"worker.properties", "listeners=" + p.url + "\ndata.dir=" + filepath.Join(dir, "data") + "\n"},
		{"persons-source.properties", fmt.Sprintf(`name=persons-source
connector.class=io.debezium.connector.postgresql.PostgresConnector
plugin.name=pgoutput
database.hostname=127.0.0.1
database.port=%d
database.user=%s
database.password=%s
database.dbname=source
topic.prefix=dbserver1
table.include.list=public.persons
transforms=route
transforms.route.type=org.apache.kafka.connect.transforms.RegexRouter
transforms.route.regex=([^.]+)\\.([^.]+)\\.([^.]+)
transforms.route.replacement=$1.$3
`, pg.Port(), pgserver.User, password)},
		{"persons-jdbc-sink.json", string(sink)},
	} {
		path, err := p.file(f.name, f.text)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, path)
	}
	return p, nil
}

// start runs the worker and waits until its REST API answers.
func (p *process) start(ctx context.Context) (err error) {
	if p.log, err = os.OpenFile(filepath.Join(p.dir, "worker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	p.cmd = exec.Command(p.binary, append([]string{"standalone"}, p.files...)...) //nolint:noctx // the demo stops it, in order or by SIGKILL
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo, which stops the worker in order
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	return until(ctx, "the worker to answer", func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/", nil)
		if err != nil {
			return false, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return res.StatusCode == http.StatusOK, res.Body.Close()
	})
}

// kill ends the worker as a power failure would.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = p.cmd.Wait() // killed
	p.cmd = nil
	return p.log.Close()
}

// stop ends the worker in order.
func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := p.cmd.Wait()
	p.cmd = nil
	return errors.Join(err, p.log.Close())
}

// until asks every few milliseconds.
func until(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited too long for %s", what)
		}
	}
}
