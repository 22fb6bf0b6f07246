// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
)

// wireMessage builds a pgoutput message.
type wireMessage struct{ p []byte }

func pgMessage(kind byte) *wireMessage { return &wireMessage{[]byte{kind}} }

func (m *wireMessage) b(v ...byte) *wireMessage { m.p = append(m.p, v...); return m }

func (m *wireMessage) u16(v uint16) *wireMessage {
	m.p = binary.BigEndian.AppendUint16(m.p, v)
	return m
}

func (m *wireMessage) u32(v uint32) *wireMessage {
	m.p = binary.BigEndian.AppendUint32(m.p, v)
	return m
}

func (m *wireMessage) u64(v uint64) *wireMessage {
	m.p = binary.BigEndian.AppendUint64(m.p, v)
	return m
}

func (m *wireMessage) s(v string) *wireMessage { return m.b([]byte(v)...).b(0) }

// tuple adds a tuple: nil is null, "\x00u" is unchanged.
func (m *wireMessage) tuple(tag byte, values ...any) *wireMessage {
	m.b(tag).u16(uint16(len(values)))
	for _, v := range values {
		switch text, ok := v.(string); {
		case !ok:
			m.b(columnNull)
		case text == "\x00u":
			m.b(columnUnchanged)
		default:
			m.b(columnText).u32(uint32(len(text))).b([]byte(text)...)
		}
	}
	return m
}

const testOID = 16999

func beginOf(xid uint32) []byte { return pgMessage(msgBegin).u64(500).u64(0).u32(xid).p }

func commitOf(end uint64) []byte { return pgMessage(msgCommit).b(0).u64(end - 8).u64(end).u64(0).p }

func relationOf(identity byte) []byte {
	return pgMessage(msgRelation).u32(testOID).s("public").s("t").b(identity).u16(4).
		b(1).s("id").u32(builtinOIDs["int8"].oid).u32(0xffffffff).
		b(0).s("v").u32(builtinOIDs["text"].oid).u32(0xffffffff).
		b(0).s("n").u32(builtinOIDs["numeric"].oid).u32((12<<16 | 2) + 4).
		b(0).s("at").u32(builtinOIDs["timestamptz"].oid).u32(0xffffffff).p
}

// testDecoder decodes a table t(id bigint primary key, v text, n numeric(12,2), at timestamptz not null).
func testDecoder(t testing.TB, from position) *decoder {
	t.Helper()
	o := &options{Types: TypeOptions{Time: "adaptive", Decimal: "precise", Binary: "bytes", Interval: "numeric", Hstore: "json"}, ConvertFailure: "warn"}
	o.Database = "db"
	d := newDecoder(o, slog.New(slog.DiscardHandler), testRegistry(), from)
	d.lookup = func(_ context.Context, oid uint32) (*catalogTable, error) {
		return &catalogTable{OID: oid, Key: []string{"id"}, Columns: []ColumnInfo{
			{Name: "id", TypeOID: builtinOIDs["int8"].oid, NotNull: true},
			{Name: "v", TypeOID: builtinOIDs["text"].oid},
			{Name: "n", TypeOID: builtinOIDs["numeric"].oid},
			{Name: "at", TypeOID: builtinOIDs["timestamptz"].oid, NotNull: true},
		}}, nil
	}
	d.refresh = func(context.Context) error { return nil }
	return d
}

func feed(t testing.TB, d *decoder, b *change.Batch, at lsn, data []byte) {
	t.Helper()
	require.NoError(t, d.message(t.Context(), b, at, data))
}

func TestDecoderOverMessages(t *testing.T) {
	d := testDecoder(t, position{})
	var b change.Batch
	feed(t, d, &b, 100, beginOf(7))
	feed(t, d, &b, 0, pgMessage(msgOrigin).u64(77).s("upstream").p)
	feed(t, d, &b, 0, pgMessage(msgType).u32(1).s("public").s("mood").p)
	feed(t, d, &b, 0, relationOf('d'))
	row := func(id string) []any { return []any{id, "text", "1.50", "2026-01-01 00:00:00+00"} }
	feed(t, d, &b, 100, pgMessage(msgInsert).u32(testOID).tuple(tupleNew, row("1")...).p)
	feed(t, d, &b, 100, pgMessage(msgInsert).u32(testOID).tuple(tupleNew, row("2")...).p)
	require.Equal(t, `{"lsn_proc":100,"messageType":"INSERT","lsn_events_processed":2,"lsn":100,"txId":7,"ts_usec":946684800000000}`, string(d.pos.Position()))
	feed(t, d, &b, 110, pgMessage(msgUpdate).u32(testOID).tuple(tupleKey, "2", nil, nil, nil).tuple(tupleNew, "3", "\x00u", nil, "2026-01-01 00:00:00+00").p)
	feed(t, d, &b, 120, pgMessage(msgUpdate).u32(testOID).tuple(tupleOld, row("3")...).tuple(tupleNew, "3", "\x00u", "2.5", "2026-01-01 00:00:00+00").p)
	feed(t, d, &b, 130, pgMessage(msgDelete).u32(testOID).tuple(tupleKey, "3", nil, nil, nil).p)
	feed(t, d, &b, 140, pgMessage(msgTruncate).u32(1).b(0).u32(testOID).p)
	feed(t, d, &b, 150, pgMessage(msgMessage).b(1).u64(150).s("prefix").u32(1).b('x').p)
	feed(t, d, &b, 160, commitOf(160))
	var got []string
	for i := range b.Changes {
		e := eventOf(&b, &b.Changes[i])
		got = append(got, e.String()+" | "+e.source)
	}
	const src = `["100"] 7 100 null upstream 77`
	require.Equal(t, []string{
		`c t {id=1} -> {id=1 v=text n=0096 at=2026-01-01T00:00:00.000000Z} | [null,"100"] 7 100 null upstream 77`,
		`c t {id=2} -> {id=2 v=text n=0096 at=2026-01-01T00:00:00.000000Z} | [null,"100"] 7 100 null upstream 77`,
		`u t {id=3} was {id=2} {id=2 v=null n=null at=null} -> {id=3 v=unavailable n=null at=2026-01-01T00:00:00.000000Z} | [null,"110"] 7 110 null upstream 77`,
		`u t {id=3} was {id=3} {id=3 v=text n=0096 at=2026-01-01T00:00:00.000000Z} -> {id=3 v=text n=00fa at=2026-01-01T00:00:00.000000Z} | [null,"120"] 7 120 null upstream 77`,
		`d t {id=3} {id=3 v=null n=null at=null} | [null,"130"] 7 130 null upstream 77`,
		`t t  | [null,"140"] 7 140 null upstream 77`,
		`m  {prefix=prefix} -> {prefix=prefix content=78} | [null,"150"] 7 150 null upstream 77`,
	}, got, src)
	require.Equal(t, `{"lsn_proc":160,"messageType":"COMMIT","lsn_commit":160,"lsn":160,"txId":7,"ts_usec":946684800000000}`, string(d.pos.Position()))
	require.Equal(t, b.Changes[0].Source, b.Changes[1].Source, "rows that share an LSN share their source row")
	require.NotEqual(t, b.Changes[1].Source, b.Changes[2].Source)

	feed(t, d, &b, 200, beginOf(8))
	feed(t, d, &b, 200, pgMessage(msgInsert).u32(testOID).tuple(tupleNew, row("4")...).p)
	e := eventOf(&b, &b.Changes[7])
	require.Equal(t, `["160","200"] 8 200 null null null`, e.source, "the origin is the transaction's")
}

func TestDecoderRefusesBrokenMessages(t *testing.T) {
	insert := pgMessage(msgInsert).u32(testOID).tuple(tupleNew, "1", "x", nil, "2026-01-01 00:00:00+00").p
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "not asked for"},
		{"stream start of protocol 2", []byte{'S', 0, 0, 0, 1, 1}, "not asked for"},
		{"short begin", beginOf(1)[:10], "too short"},
		{"short commit", commitOf(1)[:9], "too short"},
		{"short relation", relationOf('d')[:30], "too short"},
		{"relation without names", []byte{msgRelation, 0, 0, 0, 1, 'x'}, "too short"},
		{"origin that ends in its number", []byte{msgOrigin, '0', 0}, "too short"},
		{"truncate of a known and an unknown relation", pgMessage(msgTruncate).u32(2).b(0).u32(testOID).u32(5).p, "not described"},
		{"short row", insert[:len(insert)-3], "too short"},
		{"row without tuple", insert[:5], "tag"},
		{"unknown relation", pgMessage(msgInsert).u32(1).tuple(tupleNew).p, "not described"},
		{"too few columns", pgMessage(msgInsert).u32(testOID).tuple(tupleNew, "1").p, "has 1 columns, its relation 4"},
		{"wrong tag of an insert", pgMessage(msgInsert).u32(testOID).tuple('X', "1", nil, nil, nil).p, `tag 'X'`},
		{"delete with a new row", pgMessage(msgDelete).u32(testOID).tuple(tupleNew, "1", nil, nil, nil).p, `tag 'N'`},
		{"update without a new row", pgMessage(msgUpdate).u32(testOID).tuple(tupleKey, "1", nil, nil, nil).p, "tag"},
		{"binary column", pgMessage(msgInsert).u32(testOID).b(tupleNew).u16(4).b('b').u32(1).b(1).p, "unknown kind 'b'"},
		{"truncate of an unknown relation", pgMessage(msgTruncate).u32(1).b(0).u32(5).p, "not described"},
		{"truncate of very many", pgMessage(msgTruncate).u32(1 << 30).b(0).p, "too short"},
		{"relation of very many columns", append(relationOf('d')[:15], 0xff, 0xff), "too short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := testDecoder(t, position{})
			var b change.Batch
			feed(t, d, &b, 90, beginOf(7))
			feed(t, d, &b, 0, relationOf('d'))
			err := d.message(t.Context(), &b, 100, c.data)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "at 0/64 in transaction")
			require.False(t, retriable(err))
			require.Empty(t, b.Changes)
		})
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	d := testDecoder(t, position{})
	var b change.Batch
	feed(t, d, &b, 90, beginOf(7))
	feed(t, d, &b, 0, relationOf('f'))
	old := []any{"1", "some text", "1.50", "2026-01-01 00:00:00+00"}
	insert := pgMessage(msgInsert).u32(testOID).tuple(tupleNew, old...).p
	update := pgMessage(msgUpdate).u32(testOID).tuple(tupleOld, old...).tuple(tupleNew, "1", "\x00u", "2.50", "2026-01-01 00:00:01+00").p
	remove := pgMessage(msgDelete).u32(testOID).tuple(tupleKey, "1", nil, nil, nil).p
	begin, commit := beginOf(8), commitOf(200)
	ctx := t.Context()
	round := func() {
		b.Reset()
		at := lsn(100)
		for range 100 {
			for _, m := range [][]byte{begin, insert, update, remove, commit} {
				at += 8
				if err := d.message(ctx, &b, at, m); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	round()
	require.Len(t, b.Changes, 300)
	require.Zero(t, testing.AllocsPerRun(20, round))
}

func BenchmarkDecoder(b *testing.B) {
	d := testDecoder(b, position{})
	var batch change.Batch
	feed(b, d, &batch, 90, beginOf(7))
	feed(b, d, &batch, 0, relationOf('f'))
	row := []any{"123456789", "note for row number 17 with some padding text", "1250.75", "2026-01-01 00:00:17.123456+00"}
	for _, shape := range []struct {
		name string
		data []byte
	}{
		{"insert", pgMessage(msgInsert).u32(testOID).tuple(tupleNew, row...).p},
		{"update with old row", pgMessage(msgUpdate).u32(testOID).tuple(tupleOld, row...).tuple(tupleNew, row...).p},
		{"delete", pgMessage(msgDelete).u32(testOID).tuple(tupleKey, "1", nil, nil, nil).p},
	} {
		b.Run(shape.name, func(b *testing.B) {
			b.ReportAllocs()
			ctx, at := b.Context(), lsn(100)
			for b.Loop() {
				if len(batch.Changes) == 2048 {
					batch.Reset()
				}
				at += 120
				if err := d.message(ctx, &batch, at, shape.data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzDecoder feeds any bytes as a message: no panic, and no change from a message that was refused.
func FuzzDecoder(f *testing.F) {
	row := []any{"1", "x", nil, "2026-01-01 00:00:00+00"}
	for _, seed := range [][]byte{
		beginOf(7), commitOf(100), relationOf('d'), relationOf('f'),
		pgMessage(msgOrigin).u64(1).s("o").p, pgMessage(msgType).u32(1).s("a").s("b").p,
		pgMessage(msgInsert).u32(testOID).tuple(tupleNew, row...).p,
		pgMessage(msgUpdate).u32(testOID).tuple(tupleNew, row...).p,
		pgMessage(msgUpdate).u32(testOID).tuple(tupleKey, "1", nil, nil, nil).tuple(tupleNew, "1", "\x00u", nil, nil).p,
		pgMessage(msgDelete).u32(testOID).tuple(tupleOld, row...).p,
		pgMessage(msgTruncate).u32(2).b(3).u32(testOID).u32(testOID).p,
		pgMessage(msgMessage).b(0).u64(1).s("p").u32(1).b(1).p,
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := testDecoder(t, position{})
		var b change.Batch
		feed(t, d, &b, 90, beginOf(7))
		feed(t, d, &b, 0, relationOf('d'))
		for i, data := range [][]byte{first, second} {
			before := len(b.Changes)
			if err := d.message(t.Context(), &b, lsn(100+i), data); err != nil {
				require.Len(t, b.Changes, before)
				return
			}
		}
		for i := range b.Changes { // every value can be read
			_ = eventOf(&b, &b.Changes[i])
		}
		_, err := parsePosition(d.pos.Position())
		if d.pos.LSN != 0 || d.pos.Proc != 0 || d.pos.Commit != 0 {
			require.NoError(t, err)
		}
	})
}
