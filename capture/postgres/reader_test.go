// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSnapshotThenStream(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key, v text); insert into a values (1,'x'),(2,null)`)
	s := f.open("")
	require.Equal(t, []string{"r a {id=1} -> {id=1 v=x}", "r a {id=2} -> {id=2 v=null}"}, s.read(2))
	f.Exec(t, `insert into a values (3,'y')`)
	f.Exec(t, `update a set v='z' where id=1`)
	f.Exec(t, `update a set id=5 where id=2`)
	f.Exec(t, `delete from a where id=1`)
	require.Equal(t, []string{
		"c a {id=3} -> {id=3 v=y}",
		"u a {id=1} -> {id=1 v=z}",
		"u a {id=5} was {id=2} {id=2 v=null} -> {id=5 v=null}",
		"d a {id=1} {id=1 v=null}",
	}, s.read(4))
}
