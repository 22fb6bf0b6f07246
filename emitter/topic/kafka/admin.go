// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"freshet/emitter/topic"
)

// What follows is for administration and tools; it is no part of topic.Log.

// Marks returns the marks whose key begins with prefix, by key.
func (l *Log) Marks(ctx context.Context, prefix string) ([]topic.Mark, error) {
	if err := l.check(ctx); err != nil {
		return nil, err
	}
	return l.o.Marks.Marks(ctx, prefix)
}

// SetMark sets a mark by hand. The source should be stopped: one that runs will overwrite it.
func (l *Log) SetMark(ctx context.Context, m topic.Mark) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	return l.o.Marks.PutMarks(ctx, []topic.Mark{m})
}

const (
	// coordinatorPatience is how long a cluster that has just begun may have no coordinators of groups.
	coordinatorPatience = 30 * time.Second
	coordinatorPause    = 100 * time.Millisecond
)

// coordinated asks again while the coordinator of a group is on its way, as Java's admin client does.
func coordinated(ctx context.Context, ask func() error) error {
	for began := time.Now(); ; {
		err := ask()
		coming := errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.CoordinatorLoadInProgress) || errors.Is(err, kerr.NotCoordinator)
		if !coming || time.Since(began) > coordinatorPatience {
			return err
		}
		pause := time.NewTimer(coordinatorPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// GroupOffsets returns the committed offsets of a group.
func (l *Log) GroupOffsets(ctx context.Context, group string) (map[topic.Partition]int64, error) {
	if err := l.check(ctx); err != nil {
		return nil, err
	}
	out := map[topic.Partition]int64{}
	var offsets kadm.OffsetResponses
	err := coordinated(ctx, func() (err error) {
		offsets, err = l.admin.FetchOffsets(ctx, group)
		return err
	})
	if errors.Is(err, kerr.GroupIDNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, Explain("read the offsets of group", group, err)
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			out[topic.Partition{Topic: o.Topic, Partition: o.Partition}] = o.At
		}
	})
	return out, nil
}

// SetGroupOffset makes offset the one at which a group goes on, or forgets the group's offset where offset is < 0. The
// group must have no members: they would not notice.
func (l *Log) SetGroupOffset(ctx context.Context, group string, p topic.Partition, offset int64) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	var groups kadm.DescribedGroups
	err := coordinated(ctx, func() (err error) {
		groups, err = l.admin.DescribeGroups(ctx, group)
		return cmp.Or(err, groups[group].Err)
	})
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return Explain("look at group", group, err)
	}
	if n := len(groups[group].Members); n > 0 {
		return fmt.Errorf("set the offset of group %q: it has %d running members; stop them first", group, n)
	}
	if offset < 0 {
		var set kadm.TopicsSet
		set.Add(p.Topic, p.Partition)
		responses, err := l.admin.DeleteOffsets(ctx, group, set)
		if err == nil {
			err = responses.Error()
		}
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return Explain("forget an offset of group", group, err)
		}
		return nil
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset(p.Topic, p.Partition, offset, -1)
	if err := l.admin.CommitAllOffsets(ctx, group, offsets); err != nil {
		return Explain("set the offset of group", group, err)
	}
	return nil
}
