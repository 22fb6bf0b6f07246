// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/store"
	"freshet/internal/store/storetest"
)

// chunkOf encodes records into one chunk and returns its value.
func chunkOf(t testing.TB, records ...topic.Record) []byte {
	t.Helper()
	var c chunk
	for i := range records {
		require.NoError(t, c.add(&records[i], records[i].TimeMillis, func(h *topic.Head) (uint64, error) { return h.ID, nil }))
	}
	return slices.Concat(c.appendPrefix(nil), c.records, c.large, c.after)
}

// packedOf is chunkOf, compressed.
func packedOf(t testing.TB, records ...topic.Record) []byte {
	t.Helper()
	var c chunk
	for i := range records {
		require.NoError(t, c.add(&records[i], records[i].TimeMillis, func(h *topic.Head) (uint64, error) { return h.ID, nil }))
	}
	c.pack()
	require.NotEmpty(t, c.packed)
	return append(c.appendPrefix(nil), c.stored()...)
}

// manyRecords resemble each other, as changes do.
func manyRecords(n int) []topic.Record {
	head := &topic.Head{ID: 7, Bytes: []byte("h")}
	records := make([]topic.Record, n)
	for i := range records {
		records[i] = topic.Record{TimeMillis: int64(i), Value: topic.Data{Head: head, Body: fmt.Appendf(nil, `{"id":%d,"name":"somebody"}`, i)}}
	}
	return records
}

// decodeAll decodes a chunk, and says how it ended.
func decodeAll(value []byte, head func(uint64) (*topic.Head, error)) ([]topic.Record, error) {
	var d chunkReader
	var slab headerSlab
	value, err := unpack(nil, value)
	if err != nil {
		return nil, err
	}
	if err := d.start(100, value, head); err != nil {
		return nil, err
	}
	var out []topic.Record
	for d.left > 0 {
		var r topic.Record
		if err := d.read(&r, &slab); err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

func TestChunkForm(t *testing.T) {
	head := &topic.Head{ID: 0x0102, Bytes: []byte("h")}
	value := chunkOf(t,
		topic.Record{TimeMillis: 1, Key: topic.Data{Head: head, Body: []byte("k")}, Value: topic.Data{Body: []byte("vv")}},
		topic.Record{TimeMillis: 3, Headers: []topic.Header{{Key: "n"}, {Key: "e", Value: []byte{}}}},
		topic.Record{TimeMillis: 1, Headers: []topic.Header{{Key: "n"}, {Key: "e", Value: []byte{}}}},
	)
	// The form is stored: a change of these bytes needs a new version of it.
	require.Equal(t, []byte{
		2,    // version
		3,    // records
		2,    // time 1, zigzag
		1,    // heads
		2, 1, // reference 0x0102
		0, 0, 0, 0, 0, 0,
		flagKeyHead, 0, 0, 1, 'k', 2, 'v', 'v',
		flagKeyNull | flagValueNull | flagHeaders, 4, 2, 1, 'n', 0, 1, 'e', 1,
		flagKeyNull | flagValueNull | flagSameHeaders, 0,
	}, value)
	rs, err := decodeAll(value, func(ref uint64) (*topic.Head, error) {
		require.EqualValues(t, 0x0102, ref)
		return head, nil
	})
	require.NoError(t, err)
	require.Len(t, rs, 3)
	require.Equal(t, rs[1].Headers, rs[2].Headers)
	require.EqualValues(t, 100, rs[0].Offset)
	require.EqualValues(t, 101, rs[1].Offset)
	require.EqualValues(t, 3, rs[1].TimeMillis)
	n, size, ok := chunkCount(value)
	require.True(t, ok)
	require.Len(t, value, size)
	require.EqualValues(t, 3, n)
}

// TestSameHeaders stores headers once for as long as they stay the same, whether they are one slice or only equal.
func TestSameHeaders(t *testing.T) {
	own := []topic.Header{{Key: "a", Value: []byte("x")}, {Key: "b"}}
	sets := [][]topic.Header{
		own, own,
		{{Key: "a", Value: []byte("x")}, {Key: "b"}},
		nil, own,
		{{Key: "a", Value: []byte("x")}, {Key: "b", Value: []byte{}}},
		{{Key: "a", Value: []byte("y")}, {Key: "b"}},
		{{Key: "a"}},
		own,
	}
	records := make([]topic.Record, len(sets))
	for i := range sets {
		records[i].Headers = sets[i]
	}
	value := chunkOf(t, records...)
	require.Equal(t, 5, bytes.Count(value, []byte{1, 'a'}), "how often headers are written")
	got, err := decodeAll(value, nil)
	require.NoError(t, err)
	for i := range sets {
		require.Equal(t, sets[i], got[i].Headers, "record %d", i)
	}
	// Without a record that has its own there are none to share.
	value = chunkOf(t, records[:2]...)
	first := len(chunkOf(t)) // what comes before the records
	_, err = decodeAll(append(value[:first:first], value[len(chunkOf(t, records[0])):]...), nil)
	require.ErrorIs(t, err, store.ErrCorrupt)
}

// TestSameHeadersOfEarlierPolls reads a chunk in several Polls: the memory of the headers of the first is used again.
func TestSameHeadersOfEarlierPolls(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	headers := []topic.Header{{Key: "a", Value: []byte("x")}, {Key: "b", Value: []byte("y")}}
	records := make([]topic.Record, 9)
	for i := range records {
		records[i] = topic.Record{Topic: "t", Partition: 0, Headers: headers}
	}
	records[4].Headers = headers[:1]
	require.NoError(t, appendUnit(l, topic.Mark{}, records...))
	c, err := l.Subscribe(t.Context(), topic.Subscription{Topics: []string{"t"}})
	require.NoError(t, err)
	for n := 0; n < len(records); {
		got, err := c.Poll(t.Context(), 2)
		require.NoError(t, err)
		for _, r := range got {
			require.Equal(t, records[n].Headers, r.Headers, "record %d", n)
			n++
		}
	}
	require.NoError(t, c.Close(t.Context()))
}

// TestChunkCutShort wants an error of every chunk that lacks its end, and of any other version.
func TestChunkCutShort(t *testing.T) {
	head := &topic.Head{ID: 7, Bytes: []byte("h")}
	value := chunkOf(t,
		topic.Record{Key: topic.Data{Head: head, Body: []byte("key")}, Value: topic.Data{Body: []byte("value")}},
		topic.Record{Key: topic.Data{Body: []byte{}}, Value: topic.Data{Head: head}, Headers: []topic.Header{
			{Key: "a", Value: []byte("b")}, {Key: "null"},
		}},
	)
	resolve := func(uint64) (*topic.Head, error) { return head, nil }
	_, err := decodeAll(value, resolve)
	require.NoError(t, err)
	for i := range value {
		_, err := decodeAll(value[:i], resolve)
		require.ErrorIs(t, err, store.ErrCorrupt, "cut at %d", i)
	}
	value[0] = packedVersion + 1
	_, err = decodeAll(value, resolve)
	require.ErrorIs(t, err, store.ErrCorrupt)
}

func FuzzChunk(f *testing.F) {
	head := &topic.Head{ID: 7, Bytes: []byte("h")}
	f.Add([]byte{})
	f.Add(packedOf(f, manyRecords(100)...))
	f.Add(chunkOf(f, topic.Record{Key: topic.Data{Head: head, Body: []byte("k")}, TimeMillis: 1 << 41}))
	f.Add(chunkOf(f, topic.Record{Headers: []topic.Header{{Key: "a", Value: []byte("b")}, {Key: "null"}}},
		topic.Record{Value: topic.Data{Body: []byte("value")}}, topic.Record{TimeMillis: -5}))
	f.Fuzz(func(t *testing.T, value []byte) {
		rs, err := decodeAll(value, func(uint64) (*topic.Head, error) { return head, nil })
		if err != nil {
			require.ErrorIs(t, err, store.ErrCorrupt)
			return
		}
		if n, _, ok := chunkCount(value); !ok || int(n) != len(rs) {
			t.Fatalf("%d records of a chunk of %d", len(rs), n)
		}
		// What was decoded is encoded to something that decodes to the same.
		again, err := decodeAll(chunkOf(t, rs...), func(uint64) (*topic.Head, error) { return head, nil })
		require.NoError(t, err)
		require.Len(t, again, len(rs))
		for i := range rs {
			require.Equal(t, rs[i], again[i])
		}
	})
}

// TestPackedChunk stores what resembles itself in fewer bytes, and reads the same again.
func TestPackedChunk(t *testing.T) {
	records := manyRecords(200)
	plain, packed := chunkOf(t, records...), packedOf(t, records...)
	require.Less(t, 2*len(packed), len(plain))
	n, size, ok := chunkCount(packed)
	require.True(t, ok)
	require.EqualValues(t, 200, n)
	require.Len(t, plain, size)
	resolve := func(uint64) (*topic.Head, error) { return records[0].Value.Head, nil }
	want, err := decodeAll(plain, resolve)
	require.NoError(t, err)
	got, err := decodeAll(packed, resolve)
	require.NoError(t, err)
	require.Equal(t, want, got)
	for i := range packed {
		_, err := decodeAll(packed[:i], resolve)
		require.ErrorIs(t, err, store.ErrCorrupt, "cut at %d", i)
	}
}

// TestLargeValue stores a large value without a copy of its own, in the same form.
func TestLargeValue(t *testing.T) {
	head := &topic.Head{ID: 7, Bytes: []byte("h")}
	want := topic.Record{
		TimeMillis: 5, Key: topic.Data{Body: []byte("k")}, Value: topic.Data{Head: head, Body: make([]byte, maxPacked+1)},
		Headers: []topic.Header{{Key: "a", Value: []byte("b")}},
	}
	var c chunk
	require.NoError(t, c.add(&want, want.TimeMillis, func(h *topic.Head) (uint64, error) { return h.ID, nil }))
	require.Same(t, &want.Value.Body[0], &c.large[0])
	require.False(t, c.fits(&topic.Record{}))
	value := chunkOf(t, want)
	require.Len(t, value, len(c.appendPrefix(nil))+c.size())
	got, err := decodeAll(value, func(uint64) (*topic.Head, error) { return head, nil })
	require.NoError(t, err)
	want.Offset = 100
	require.Equal(t, []topic.Record{want}, got)
}

// TestPackAllocates pins that compressing and reading again allocate nothing, and that short chunks are left alone.
func TestPackAllocates(t *testing.T) {
	var c chunk
	for _, r := range manyRecords(200) {
		require.NoError(t, c.add(&r, r.TimeMillis, func(h *topic.Head) (uint64, error) { return h.ID, nil }))
	}
	c.pack()
	value := append(c.appendPrefix(nil), c.stored()...)
	buf := make([]byte, 0, 2*len(c.records))
	require.Zero(t, testing.AllocsPerRun(20, func() {
		c.pack()
		if _, err := unpack(buf, value); err != nil {
			t.Fatal(err)
		}
	}))
	c.records = c.records[:minPacked-1]
	c.pack()
	require.Equal(t, c.records, c.stored())
}

// TestEncodeAllocates pins that encoding a unit allocates nothing per record.
func TestEncodeAllocates(t *testing.T) {
	u := benchUnit(100)
	u.Records[50].Headers = []topic.Header{{Key: "a", Value: []byte("b")}}
	var c chunk
	c.records = make([]byte, 0, 1<<20)
	ref := func(h *topic.Head) (uint64, error) { return h.ID, nil }
	n := testing.AllocsPerRun(20, func() {
		c.reset()
		for i := range u.Records {
			if err := c.add(&u.Records[i], 1, ref); err != nil {
				t.Fatal(err)
			}
		}
	})
	require.Zero(t, n)
}

// TestDecodeAllocates pins the same of decoding, with buffers that have been used before.
func TestDecodeAllocates(t *testing.T) {
	u := benchUnit(100)
	u.Records[50].Headers = []topic.Header{{Key: "a", Value: []byte("b")}}
	value := chunkOf(t, u.Records...)
	var d chunkReader
	var slab headerSlab
	out := make([]topic.Record, 100)
	head := func(uint64) (*topic.Head, error) { return u.Records[0].Key.Head, nil }
	n := testing.AllocsPerRun(20, func() {
		slab.reset()
		if err := d.start(0, value, head); err != nil {
			t.Fatal(err)
		}
		for i := range out {
			if err := d.read(&out[i], &slab); err != nil {
				t.Fatal(err)
			}
		}
	})
	require.Zero(t, n)
	require.Equal(t, u.Records[99].Value, out[99].Value)
}

func TestMurmur2(t *testing.T) {
	// From the tests of Kafka's clients.
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		for cut := range len(key) + 1 {
			d := topic.Data{Head: &topic.Head{Bytes: []byte(key[:cut])}, Body: []byte(key[cut:])}
			require.Equal(t, want, int32(murmur2(d)), "%s cut at %d", key, cut)
		}
		require.Equal(t, want, int32(murmur2(topic.Data{Body: []byte(key)})))
	}
	require.EqualValues(t, 275646681, murmur2(topic.Data{Body: []byte{}}), "the hash of nothing, as Kafka has it")
}

// TestHeadCollision stores contents with one id: each keeps its own, also over a restart.
func TestHeadCollision(t *testing.T) {
	f := &folder{dir: t.TempDir()}
	l := f.Open(t).(*Log)
	heads := make([]*topic.Head, 4)
	var u topic.Unit
	for i := range heads {
		heads[i] = &topic.Head{ID: 5, Bytes: fmt.Appendf(nil, "content %d", i)}
		u.Records = append(u.Records, topic.Record{Topic: "t", Value: topic.Data{Head: heads[i]}})
	}
	u.Records = append(u.Records, topic.Record{Topic: "t", Value: topic.Data{Head: &topic.Head{ID: 6, Bytes: []byte("next id")}}})
	mustAppend(t, l, u.Records...)
	require.Len(t, l.heads.byRef, 5)
	mustAppend(t, l, u.Records...)
	// An equal content under another pointer is the same head.
	mustAppend(t, l, topic.Record{Topic: "t", Value: topic.Data{Head: &topic.Head{ID: 5, Bytes: []byte("content 2")}}})
	require.Len(t, l.heads.byRef, 5)
	for range 2 {
		rs := all(t, l, "t")
		require.Len(t, rs, 11)
		for i, r := range append(rs[:5:5], rs[5:10]...) {
			require.Equal(t, u.Records[i%5].Value.Head.ID, r.Value.Head.ID)
			require.Equal(t, string(u.Records[i%5].Value.Bytes()), string(r.Value.Bytes()))
		}
		require.Same(t, rs[2].Value.Head, rs[7].Value.Head, "one pointer for one content")
		require.Same(t, rs[2].Value.Head, rs[10].Value.Head)
		require.NoError(t, l.Close(t.Context()))
		l = f.Open(t).(*Log)
	}
	require.NoError(t, l.Close(t.Context()))
	require.NoError(t, f.db.Close())
}
