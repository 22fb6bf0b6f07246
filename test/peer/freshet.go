// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"freshet/emitter/topic"
	"freshet/internal/topicio"
)

// freshet is the program under test, in standalone mode with topics of its own.
type freshet struct {
	worker
	cmd *exec.Cmd
	log *os.File
}

// startFreshet builds the program and starts it on a folder.
func startFreshet(ctx context.Context, dir string) (*freshet, error) {
	binary := filepath.Join(dir, "freshet")
	if err := build(ctx, binary); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	l.Close()
	file := filepath.Join(dir, "worker.properties")
	text := "data.dir=" + filepath.Join(dir, "data") + "\nlisteners=http://" + address + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	f := &freshet{worker: worker{"http://" + address}, cmd: exec.Command(binary, "standalone", file)}
	if f.log, err = os.Create(filepath.Join(os.TempDir(), "freshet-peer.log")); err != nil {
		return nil, err
	}
	f.cmd.Stdout, f.cmd.Stderr = f.log, f.log
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	return f, until(ctx, "freshet to answer", func() (bool, error) {
		return true, f.call(ctx, http.MethodGet, "/", nil, nil)
	})
}

func (f *freshet) close() {
	_ = f.cmd.Process.Signal(syscall.SIGTERM)
	_ = f.cmd.Wait()
	f.log.Close()
}

// ends are the ends of the topics whose names begin with a prefix.
func (f *freshet) ends(ctx context.Context, prefix string) (map[string]int64, error) {
	var topics []struct {
		Topic      string
		Partitions []struct{ End int64 }
	}
	err := f.call(ctx, http.MethodGet, "/freshet/topics", nil, &topics)
	out := map[string]int64{}
	for _, t := range topics {
		if !belongs(t.Topic, prefix) {
			continue
		}
		for _, p := range t.Partitions {
			out[t.Topic] += p.End
		}
	}
	return out, err
}

// records reads those topics.
func (f *freshet) records(ctx context.Context, prefix string) ([]topic.Record, error) {
	ends, err := f.ends(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var out []topic.Record
	for name := range ends {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/freshet/topics/"+url.PathEscape(name)+"/records?from=beginning&exit=true", nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		_, err = text.ReadFrom(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		for n, line := range bytes.Split(bytes.TrimSuffix(text.Bytes(), []byte("\n")), []byte("\n")) {
			r, err := topicio.ParseLine(line)
			if err != nil {
				return nil, err
			}
			r.Topic, r.Offset = name, int64(n) // one partition: the lines are in order
			out = append(out, r)
		}
	}
	return out, nil
}

// belongs says whether a topic is one of a connector's.
func belongs(name, prefix string) bool {
	return name == prefix || strings.HasPrefix(name, prefix+".") || strings.HasPrefix(name, "__debezium-heartbeat."+prefix)
}
