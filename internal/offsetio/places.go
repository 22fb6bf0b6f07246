// SPDX-License-Identifier: Apache-2.0

package offsetio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"freshet/config"
	"freshet/connect/cluster/backing"
	"freshet/connect/standalone"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/kafkaclient"
	"freshet/internal/store"
)

// PlaceError is a place that is none, or that somebody else has.
type PlaceError struct{ Err error }

// Error is the cause.
func (e *PlaceError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *PlaceError) Unwrap() error { return e.Err }

// file is the offsets file of a standalone worker of Kafka Connect.
type file struct {
	path string
	new  bool // may be missing: then it has no positions
}

// OpenFile takes an offsets file of Kafka Connect's standalone worker, which must not run. With create it may be missing.
func OpenFile(path string, create bool) (Place, error) {
	f := file{path, create}
	if _, err := f.Marks(context.Background()); err != nil {
		return nil, &PlaceError{err}
	}
	return f, nil
}

// Marks reads the file.
func (f file) Marks(context.Context) ([]topic.Mark, error) {
	text, err := os.ReadFile(f.path)
	if f.new && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the offsets file: %w", err)
	}
	marks, err := standalone.ParseJavaOffsets(text)
	if err != nil {
		return nil, fmt.Errorf("read the offsets file %q: %w; name the offset.storage.file.filename of a standalone worker of Kafka Connect", f.path, err)
	}
	sortMarks(marks)
	return marks, nil
}

// Put writes the file anew, and puts it in the old one's place when it is whole.
func (f file) Put(ctx context.Context, marks []topic.Mark) error {
	all, err := f.Marks(ctx)
	if err != nil {
		return err
	}
	for _, m := range marks {
		all = slices.DeleteFunc(all, func(old topic.Mark) bool { return old.Key == m.Key })
		if m.Value != "" {
			all = append(all, m)
		}
	}
	sortMarks(all)
	next, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
	if err != nil {
		return fmt.Errorf("write the offsets file: %w", err)
	}
	_, err = next.Write(standalone.AppendJavaOffsets(nil, all))
	err = errors.Join(err, next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("write the offsets file: %w", errors.Join(err, os.Remove(next.Name())))
	}
	return nil
}

// Close does nothing.
func (file) Close(context.Context) error { return nil }

// folder is a data folder.
type folder struct {
	db  *store.DB
	log *local.Log
}

// OpenFolder opens a data folder that no worker has open.
func OpenFolder(dir string, log *slog.Logger) (Place, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, &PlaceError{fmt.Errorf("open the data folder: %w", err)}
	}
	db, err := store.Open(dir, store.Options{Log: log})
	if err != nil {
		return nil, &PlaceError{err}
	}
	l, err := local.Open(db, local.Options{Log: log, RetentionInterval: -1})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &folder{db, l}, nil
}

// Marks returns all positions.
func (f *folder) Marks(ctx context.Context) ([]topic.Mark, error) { return f.log.Marks(ctx, "") }

// Put changes positions.
func (f *folder) Put(ctx context.Context, marks []topic.Mark) error {
	return put(ctx, marks, func(m topic.Mark) error { return f.log.SetMark(ctx, m) }, f.log.DeleteMark)
}

func put(ctx context.Context, marks []topic.Mark, set func(topic.Mark) error, forget func(context.Context, string) error) error {
	for _, m := range marks {
		var err error
		if m.Value == "" {
			err = forget(ctx, m.Key)
		} else {
			err = set(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close closes log and folder.
func (f *folder) Close(ctx context.Context) error {
	return errors.Join(f.log.Close(ctx), f.db.Close())
}

// offsetsTopic is an offsets topic in Kafka.
type offsetsTopic struct{ *backing.Offsets }

// OpenTopic opens the offsets topic that a worker's properties name, or the one of a name. With create it is made where it does
// not exist. It waits for brokers until ctx ends.
func OpenTopic(ctx context.Context, properties map[string]string, name string, create bool, log *slog.Logger) (Place, error) {
	if name == "" {
		name = strings.TrimSpace(properties["offset.storage.topic"])
	}
	switch {
	case strings.TrimSpace(properties["bootstrap.servers"]) == "":
		return nil, &PlaceError{errors.New("the worker's properties have no bootstrap.servers: write host:port of a broker there")}
	case name == "":
		return nil, &PlaceError{errors.New("the worker's properties have no offset.storage.topic: write it there, or name the topic with --topic")}
	}
	clients, problems := kafkaclient.NewWorker(properties)
	var errs []error
	for _, p := range config.Errors(problems) {
		errs = append(errs, p)
	}
	o := backing.Options{Log: log, ClientID: "freshet-offsets", Existing: !create, Committed: true, Offsets: backing.Topic{Name: name}}
	var err error
	if o.Client, err = clients.Internal(); err != nil {
		errs = append(errs, err)
	}
	o.Offsets.Partitions, err = number(properties, "offset.storage.partitions", 25)
	replication, rerr := number(properties, "offset.storage.replication.factor", 3)
	o.Offsets.Replication = int16(replication)
	o.Offsets.Settings, _ = backing.SettingsOf(properties, "offset.storage.")
	delete(o.Offsets.Settings, "file.filename")
	if err := errors.Join(append(errs, err, rerr)...); err != nil {
		return nil, &PlaceError{err}
	}
	s := backing.NewOffsets(o)
	if err := s.Start(ctx); err != nil {
		var unfit *backing.TopicError
		if errors.As(err, &unfit) {
			return nil, &PlaceError{err}
		}
		return nil, err
	}
	return offsetsTopic{s}, nil
}

func number(properties map[string]string, name string, fallback int32) (int32, error) {
	text := strings.TrimSpace(properties[name])
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 16)
	if err != nil || n < -1 || n == 0 {
		return 0, fmt.Errorf("%s is %q: it is a number above 0, or -1 for the brokers' default", name, text)
	}
	return int32(n), nil
}

// Marks returns all positions.
func (s offsetsTopic) Marks(ctx context.Context) ([]topic.Mark, error) {
	return s.Offsets.Marks(ctx, "")
}

// Put changes positions.
func (s offsetsTopic) Put(ctx context.Context, marks []topic.Mark) error {
	return put(ctx, marks, func(m topic.Mark) error { return s.PutMarks(ctx, []topic.Mark{m}) }, s.DeleteMark)
}

// Close ends reading.
func (s offsetsTopic) Close(ctx context.Context) error {
	s.Offsets.Close(ctx)
	return nil
}

func sortMarks(marks []topic.Mark) {
	slices.SortFunc(marks, func(a, b topic.Mark) int { return strings.Compare(a.Key, b.Key) })
}
