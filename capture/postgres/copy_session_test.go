// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// What is not known to be of the connection fails at once: trying again would only hide it.
func TestConnectionLost(t *testing.T) {
	s := testdb.Postgres(t)
	o := serverOptions(t, s, nil)
	closed, err := dialer{o: o}.connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, closed.Close(t.Context()))
	nowhere := *o
	nowhere.Port = 1
	_, refused := dialer{o: &nowhere}.connect(t.Context())
	require.Error(t, refused)
	stranger := *o
	stranger.User = "nobody_of_that_name"
	_, unknown := dialer{o: &stranger}.connect(t.Context())
	require.Error(t, unknown)

	state := func(code string) error {
		return wrapError("do", "x", fmt.Errorf("inner: %w", &pgconn.PgError{Severity: "FATAL", Code: code}))
	}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"connection failure":        {state("08006"), true},
		"protocol violation":        {state("08P01"), true},
		"shutdown":                  {state("57P01"), true},
		"crash":                     {state("57P02"), true},
		"start":                     {state("57P03"), true},
		"idle session":              {state("57P05"), true},
		"idle in a transaction":     {state("25P03"), true},
		"end of the connection":     {wrapError("copy", "x", io.ErrUnexpectedEOF), true},
		"end of a message":          {io.EOF, true},
		"reset":                     {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, true},
		"deadline":                  {os.ErrDeadlineExceeded, true},
		"closed here":               {net.ErrClosed, true},
		"closed before the command": {exec(t.Context(), closed, `select 1`), true},
		"nobody listens":            {refused, true},
		"silent":                    {&silentError{errors.New("no byte"), false}, true},
		"login in time":             {wrapError("connect", "x", context.DeadlineExceeded), true},

		"database dropped":     {state("57P04"), false},
		"statement canceled":   {state("57014"), false},
		"no privilege":         {state("42501"), false},
		"snapshot gone":        {state("22023"), false},
		"internal error":       {state("XX000"), false},
		"unknown role":         {unknown, false},
		"certificate":          {&tls.CertificateVerificationError{Err: errors.New("expired")}, false},
		"another snapshot":     {errors.New("the imported snapshot is another one"), false},
		"a value of our codec": {permanentf("decode", "x", "", "bad"), false},
		"the end of the task":  {context.Canceled, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, c.err)
			require.Equal(t, c.want, connectionLost(c.err), "%v", c.err)
		})
	}
}
