// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	connectTimeout = 10 * time.Second
	connectPause   = time.Second
	repeatEvery    = 30 * time.Second // of a warning that says the same
)

// Connect waits until a broker answers, however long that takes, and learns the cluster's id. What it waits for it tells as
// a warning, and to waiting if that is not nil. It returns an error where waiting cannot help, such as a wrong password, and
// where ctx ends.
func (l *Log) Connect(ctx context.Context, waiting func(reason string)) error {
	told, last := "", time.Time{}
	for {
		id, err := l.ping(ctx)
		if err == nil {
			l.mu.Lock()
			l.identity = id
			l.mu.Unlock()
			if told != "" {
				l.o.Log.Info("Kafka answers", "brokers", strings.Join(l.o.Brokers, ","), "cluster", id)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err = Explain("connect to Kafka at", strings.Join(l.o.Brokers, ","), err)
		var own *Error
		if errors.As(err, &own) && own.Final {
			return err
		}
		if text := err.Error(); text != told || time.Since(last) > repeatEvery {
			l.o.Log.Warn("Kafka does not answer yet; trying again", "brokers", strings.Join(l.o.Brokers, ","), "cause", err)
			told, last = text, time.Now()
		}
		if waiting != nil {
			waiting(err.Error())
		}
		if err := pause(ctx, connectPause); err != nil {
			return err
		}
	}
}

// ping asks for the id of the cluster, once: by a client that does not try again, so that the error is the real one.
func (l *Log) ping(ctx context.Context) (string, error) {
	client, err := kgo.NewClient(slices.Concat(l.o.Admin, []kgo.Opt{kgo.RequestRetries(0), kgo.DisableClientMetrics()})...)
	if err != nil {
		return "", err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return "", err
	}
	if resp.ClusterID == nil {
		return "", nil
	}
	return *resp.ClusterID, nil
}
