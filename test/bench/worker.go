// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// worker is a running freshet.
type worker struct {
	cmd *exec.Cmd
	url string
	log *os.File // of the process, nil for a peer's
	// patience is how long until waits.
	patience time.Duration
	// topics, if not nil, are in the peer's Kafka.
	topics *peer
}

// start runs a worker on a data folder and waits until it answers.
func (b *bench) start(ctx context.Context, data string, settings ...string) (*worker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	l.Close()
	if b.peer != nil { // the same Kafka for both
		settings = append(settings, "bootstrap.servers="+b.peer.brokers)
	}
	file := filepath.Join(b.dir, "worker.properties")
	settings = append(settings, b.settings...)
	text := "data.dir=" + data + "\nlisteners=http://" + address + "\n" + strings.Join(settings, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	w := &worker{cmd: exec.Command(b.binary, "standalone", file), url: "http://" + address, patience: 2 * time.Minute, topics: b.peer}
	if b.profiles != "" {
		for _, kind := range []string{"cpu", "alloc", "block"} {
			w.cmd.Args = append(w.cmd.Args, "--"+kind+"-profile", filepath.Join(b.profiles, filepath.Base(data)+"."+kind+".pprof"))
		}
	}
	if w.log, err = os.Create(data + ".log"); err != nil {
		return nil, err
	}
	w.cmd.Stdout, w.cmd.Stderr = w.log, w.log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	return w, w.until(ctx, "the worker to answer", func() (bool, error) {
		_, err := w.call(http.MethodGet, "/", nil)
		return err == nil, nil
	})
}

// stop ends the worker and returns its CPU time and peak memory.
func (w *worker) stop() (cpu time.Duration, rssMB float64, err error) {
	rssMB = w.peakMB()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, 0, err
	}
	err = w.cmd.Wait()
	w.log.Close()
	return w.cmd.ProcessState.UserTime() + w.cmd.ProcessState.SystemTime(), rssMB, err
}

// cpu is the CPU time so far, in clock ticks of 10 ms.
func (w *worker) cpu() time.Duration { return cpuOf(w.cmd.Process.Pid) }

func cpuOf(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// peakMB is the largest resident set so far.
func (w *worker) peakMB() float64 { return w.memoryMB("VmHWM:") }

// memoryMB is a line of the worker's /proc status.
func (w *worker) memoryMB(label string) float64 { return memoryOf(w.cmd.Process.Pid, label) }

func memoryOf(pid int, label string) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, label); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// call makes a REST request. body is sent as JSON; an answer from 400 on is an error.
func (w *worker) call(method, path string, body any) ([]byte, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, w.url+path, in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 400 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, out)
	}
	return out, err
}

func (w *worker) put(name string, cfg map[string]string) error {
	_, err := w.call(http.MethodPut, "/connectors/"+name+"/config", cfg)
	return err
}

// end is the number of records in a topic with one partition.
func (w *worker) end(topic string) (int, error) {
	if w.topics != nil {
		return w.topics.end(context.Background(), topic)
	}
	out, err := w.call(http.MethodGet, "/freshet/topics", nil)
	if err != nil {
		return 0, err
	}
	var topics []struct {
		Topic      string
		Partitions []struct{ End int }
	}
	if err := json.Unmarshal(out, &topics); err != nil {
		return 0, err
	}
	for _, t := range topics {
		if t.Topic == topic {
			return t.Partitions[0].End, nil
		}
	}
	return 0, nil
}

// topicReaches waits until a topic has n records.
func (w *worker) topicReaches(ctx context.Context, topic string, n int) error {
	return w.until(ctx, fmt.Sprintf("%d records in %s", n, topic), func() (bool, error) {
		end, err := w.end(topic)
		return end >= n, err
	})
}

// seeLog names the log, where there is one.
func (w *worker) seeLog() string {
	if w.log == nil {
		return ""
	}
	return "; see " + w.log.Name()
}

// until asks every few milliseconds, and fails with the worker's log when a task failed or it takes too long.
func (w *worker) until(ctx context.Context, what string, done func() (bool, error)) error {
	deadline := time.Now().Add(w.patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		ok, err := done()
		if ok && err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("waited too long for %s%s", what, w.seeLog()), err)
		}
		if n%200 == 199 {
			if out, _ := w.call(http.MethodGet, "/connectors?expand=status", nil); bytes.Contains(out, []byte(`"FAILED"`)) {
				return fmt.Errorf("waiting for %s: a task failed: %s", what, out)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
