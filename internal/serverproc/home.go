// SPDX-License-Identifier: Apache-2.0

package serverproc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Home is a folder of one server, which runs or was stopped. Its methods are for one goroutine at a time.
type Home struct {
	Dir     string
	process *Server // nil while it does not run
}

// NewHome makes a folder as Folder does.
func NewHome(prefix string) (*Home, error) {
	dir, err := Folder(prefix)
	return &Home{Dir: dir}, err
}

// Path is a file in the folder.
func (h *Home) Path(name string) string { return filepath.Join(h.Dir, name) }

// LogPath is the file with the server's messages.
func (h *Home) LogPath() string { return h.Path("server.log") }

// Run starts the server by a command and waits until it answers at an address, host:port.
func (h *Home) Run(ctx context.Context, cmd *exec.Cmd, address string) (err error) {
	cmd.Dir = h.Dir
	h.process, err = Start(ctx, cmd, address, h.LogPath())
	return err
}

// Tail is the end of the server's messages.
func (h *Home) Tail() string { return h.process.Tail() }

// Kill ends the server at once, as a power cut would. What it has made durable is in the folder.
func (h *Home) Kill() {
	h.process.Kill()
	h.process = nil
}

// Stop asks the server to end, and kills it where it does not within a time.
func (h *Home) Stop(patience time.Duration) {
	if h.process != nil {
		h.process.Stop(patience)
		h.process = nil
	}
}

// Close ends the server and removes the folder.
func (h *Home) Close() error {
	h.Kill()
	if err := os.RemoveAll(h.Dir); err != nil {
		return fmt.Errorf("remove the folder of a server: %w", err)
	}
	return nil
}
