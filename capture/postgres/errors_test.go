// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestWrapError(t *testing.T) {
	for _, c := range []struct {
		code      string
		permanent bool
		hint      string
	}{
		{"28P01", true, "database.password"},
		{"28000", true, "pg_hba.conf"},
		{"28P02", true, "pg_hba.conf"}, // the class
		{"3D000", true, "database.dbname"},
		{"42501", true, "grant"},
		{"42704", true, "publication.name"},
		{"53300", false, "max_connections"},
		{"53400", true, "max_replication_slots"},
		{"55006", false, "slot.name"},
		{"55000", true, "wal_level"},
		{"58P01", true, "when_needed"},
		{"57P03", false, "started"},
		{"57P01", false, "back"},
		{"40001", false, ""},
		{"08006", false, ""},
	} {
		t.Run(c.code, func(t *testing.T) {
			cause := &pgconn.PgError{Severity: "ERROR", Code: c.code, Message: "no"}
			err := wrapError("do", `thing "x"`, fmt.Errorf("inner: %w", cause))
			var e *Error
			require.ErrorAs(t, err, &e)
			require.ErrorIs(t, err, cause)
			require.Equal(t, !c.permanent, e.Retriable())
			require.Contains(t, e.NextStep(), c.hint)
			if c.hint == "" {
				require.Equal(t, `do thing "x": inner: `+cause.Error(), err.Error())
			} else {
				require.Equal(t, `do thing "x": inner: `+cause.Error()+" (next step: "+e.Hint+")", err.Error())
			}
			require.Same(t, err, wrapError("again", "", err), "wrapped once")
		})
	}
	require.NoError(t, wrapError("do", "x", nil))
	require.Equal(t, context.Canceled, wrapError("do", "x", context.Canceled), "the end of a context is no failure")
	require.True(t, retriable(wrapError("do", "x", errors.New("broken pipe"))))
}

func TestHiddenError(t *testing.T) {
	cause := errors.New("cannot parse `host=x password=hunter2`")
	err := &hiddenError{cause, "hunter2"}
	require.Equal(t, "cannot parse `host=x password=****`", err.Error())
	require.ErrorIs(t, err, cause)
	require.Equal(t, cause.Error(), (&hiddenError{cause, ""}).Error())
}
