// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
)

// Error is what Kafka refused, with the next step.
type Error struct {
	Op      string // what was being done
	Subject string // the topic, group or address, "" for none
	Err     error
	Hint    string // the next step, "" for none
	Final   bool   // trying again cannot help
}

// Error tells all of it.
func (e *Error) Error() string {
	text := e.Op
	if e.Subject != "" {
		text += fmt.Sprintf(" %q", e.Subject)
	}
	text += ": " + e.Err.Error()
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retriable says whether trying again may help.
func (e *Error) Retriable() bool { return !e.Final }

// refusals are answers of brokers that trying again does not change, and what mends them.
var refusals = []struct {
	err  error
	hint string
}{
	{kerr.TopicAuthorizationFailed, "grant the worker's principal DESCRIBE and WRITE (of a source) or READ (of a sink) on the topic, and CREATE where topics are to be created"},
	{kerr.GroupAuthorizationFailed, "grant the worker's principal READ on the consumer group"},
	{kerr.ClusterAuthorizationFailed, "grant the worker's principal CREATE on the cluster, or create the topics beforehand; an idempotent producer of a broker before 3.0 needs IDEMPOTENT_WRITE"},
	{kerr.TransactionalIDAuthorizationFailed, "grant the worker's principal WRITE on the transactional id"},
	{kerr.ProducerFenced, hintFenced},
	{kerr.InvalidProducerEpoch, hintFenced},
	{kerr.SaslAuthenticationFailed, "compare sasl.jaas.config and sasl.mechanism with what the brokers have; producers and consumers need them as producer.* and consumer.* too"},
	{kerr.UnsupportedSaslMechanism, "set sasl.mechanism to one that the brokers have enabled"},
	{kerr.InvalidTopicException, "names have letters, digits, '.', '_' and '-', at most 249 of them"},
	{kerr.InvalidReplicationFactor, "set topic.creation.default.replication.factor to no more than there are brokers; -1 is the brokers' default"},
	{kerr.InvalidPartitions, "set topic.creation.default.partitions to a number above 0; -1 is the brokers' default"},
	{kerr.PolicyViolation, "the brokers' create.topic.policy refuses it: create the topic beforehand"},
	{kerr.InvalidConfig, "look at the topic.creation.* properties"},
}

const hintFenced = "another worker has taken over, or the transaction took longer than transaction.timeout.ms; nothing of it counts. Restart the task where it should run here"

// isFenced says whether a broker refused a producer because another one has its transactional id.
func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

// Explain makes an error of what a request failed with.
func Explain(op, subject string, err error) error {
	var own *Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, kgo.ErrClientClosed) {
		return topic.ErrClosed
	}
	e := &Error{Op: op, Subject: subject, Err: err}
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	if errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) {
		e.Hint, e.Final = "look at ssl.truststore.* and ssl.endpoint.identification.algorithm; producers and consumers need them as producer.* and consumer.* too", true
	}
	if errors.Is(err, io.EOF) {
		e.Hint = "the broker hung up: is security.protocol that of its listener?"
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			e.Hint, e.Final = r.hint, true
		}
	}
	return e
}

// sendError is why a record was not acknowledged.
func (l *Log) sendError(r *kgo.Record, err error) error {
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) {
		limit := int32(brokerMaxBytes)
		if k := l.topics.get(r.Topic); k != nil {
			limit = k.maxBytes
		}
		return tooLarge(r.Topic, r.Key, int64(len(r.Key)+len(r.Value)), l.o.MaxRequestBytes, limit)
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		l.topics.put(r.Topic, nil) // it was deleted: the next attempt creates it
	}
	return Explain("append to topic", r.Topic, err)
}

// tooLarge is the error of a record that does not fit, with the setting that stands in the way.
func tooLarge(name string, key []byte, size int64, request, message int32) error {
	e := &Error{Op: "append to topic", Subject: name, Final: true}
	e.Err = &TooLargeError{Topic: name, Key: shown(key), Bytes: size}
	switch {
	case size > int64(request):
		e.Hint = fmt.Sprintf("max.request.size is %d: set producer.max.request.size of the worker, or producer.override.max.request.size of the connector, to more", request)
		if size > int64(message) {
			e.Hint += fmt.Sprintf(", and max.message.bytes of the topic, which is %d", message)
		}
	default:
		e.Hint = fmt.Sprintf("max.message.bytes of the topic is %d: set it to more (kafka-configs --alter --topic %s --add-config max.message.bytes=...)", message, name)
	}
	return e
}

// TooLargeError is a record that is larger than Kafka takes.
type TooLargeError struct {
	Topic, Key string
	Bytes      int64
}

// Error names record and size.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the record with key %s has %d bytes, which is too large", e.Key, e.Bytes)
}

// Is makes it the broker's error too.
func (*TooLargeError) Is(target error) bool { return target == kerr.MessageTooLarge }

// shown is the beginning of a key, for messages.
func shown(key []byte) string {
	const most = 120
	switch {
	case key == nil:
		return "null"
	case !utf8.Valid(key):
		return fmt.Sprintf("%x", key[:min(len(key), most/2)])
	}
	return string(key[:min(len(key), most)])
}
