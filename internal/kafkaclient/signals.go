// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"errors"
	"maps"
	"time"

	"freshet/config"
	"freshet/emitter/topic/kafka"
)

const (
	signalBrokers  = "signal.kafka.bootstrap.servers"
	signalConsumer = "signal.consumer."
)

// SignalOptions are those of the log that holds the signal topic of a connector: its signal.kafka.bootstrap.servers and
// signal.consumer.*, which the worker's settings do not reach, as in Debezium.
func SignalOptions(connector map[string]string) (kafka.Options, error) {
	given := map[string]string{"bootstrap.servers": connector[signalBrokers], "client.id": connector["name"] + "-signal"}
	maps.Copy(given, under(connector, signalConsumer))
	admin := map[string]string{}
	def := Admin.Def()
	for name, value := range given {
		if def.Find(name) != nil {
			admin[name] = value
		}
	}
	consumer, problems := Consumer.decode(given, signalConsumer)
	asker, more := Admin.decode(admin, signalConsumer)
	var errs []error
	for _, p := range config.Errors(append(problems, more...)) {
		errs = append(errs, p)
	}
	return kafka.Options{
		Producer: asker.opts, Consumer: consumer.opts, FromEnd: consumer.fromEnd, Admin: asker.opts, Brokers: asker.brokers,
		RefreshInterval: min(max(consumer.metadata, time.Second), 5*time.Second),
	}, errors.Join(errs...)
}
