// SPDX-License-Identifier: Apache-2.0

package testdb

import (
	"context"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"freshet/internal/connectserver"
	"freshet/internal/javaserver"
	"freshet/internal/kafkaserver"
)

// kafka is the broker of this test binary, started by the first test that asks.
var kafka = sync.OnceValues(func() (*kafkaserver.Server, error) { return startKafka(kafkaserver.Options{}) })

func startKafka(o kafkaserver.Options) (*kafkaserver.Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
	defer cancel()
	var err error
	if o.Programs, err = kafkaserver.Find(ctx, nil); err != nil {
		return nil, err
	}
	return kafkaserver.New(ctx, o)
}

// Kafka returns the shared broker. Topics and groups of other tests are on it too. It ends with the process.
func Kafka(t testing.TB) *kafkaserver.Server {
	t.Helper()
	s, err := kafka()
	if err != nil {
		missing(t, "kafka", err)
	}
	return s
}

// NewKafka starts a broker for this test alone, which may be killed and started again.
func NewKafka(t testing.TB, o kafkaserver.Options) *kafkaserver.Server {
	t.Helper()
	s, err := startKafka(o)
	if err != nil {
		missing(t, "kafka", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close Kafka: %v", err)
		}
	})
	return s
}

// ConnectPrograms are what a real worker of Kafka Connect is started with.
func ConnectPrograms(t testing.TB) javaserver.Programs {
	t.Helper()
	p, err := connectserver.Find(t.Context(), nil)
	if err != nil {
		missing(t, "connect", err)
	}
	return p
}

// IgnoreKafka tells goleak of the goroutine that waits for a shared server other than PostgreSQL (Kafka, a registry, MySQL),
// which ends with the process.
func IgnoreKafka() goleak.Option {
	return goleak.IgnoreAnyFunction("freshet/internal/serverproc.(*process).run")
}
