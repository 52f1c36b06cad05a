package awstest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// queue is a standard SQS queue.
type queue struct {
	name        string
	arn         string
	attributes  map[string]string
	visibility  time.Duration
	delay       time.Duration
	retention   time.Duration
	redrive     *redrive
	messages    []*queued
	nextReceipt int
}

// redrive is where messages go that were received too often.
type redrive struct {
	arn        string
	maxReceive int
}

type queued struct {
	id         string
	body       string
	attributes map[string]messageAttribute
	sent       time.Time
	visibleAt  time.Time
	received   int
	firstAt    time.Time
	receipt    string // of the last receive; older ones delete too
}

type messageAttribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

// QueueMessage is a message that lies in a queue.
type QueueMessage struct {
	ID   string
	Body string
	// Received counts how often it was handed out.
	Received int
	// VisibleAt is when it can be received (again).
	VisibleAt time.Time
}

// CreateQueue makes a queue and returns its URL; attributes as in the SQS API.
func (s *Server) CreateQueue(name string, attributes map[string]string) (url string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.ensureQueue(name, attributes)
	if err != nil {
		return "", err
	}
	return s.queueURL(q.name), nil
}

// QueueMessages returns the messages of a queue, oldest first, whether they
// can be received or not.
func (s *Server) QueueMessages(name string) []QueueMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return nil
	}
	q.expire(s.now())
	var all []QueueMessage
	for _, m := range q.messages {
		all = append(all, QueueMessage{m.id, m.body, m.received, m.visibleAt})
	}
	return all
}

// QueueARN is the ARN of a queue of that name.
func (s *Server) QueueARN(name string) string {
	return "arn:aws:sqs:" + s.region + ":" + s.account + ":" + name
}

// queueURL does not depend on the port: clients send requests to the
// endpoint, whatever the host of the queue's URL.
func (s *Server) queueURL(name string) string {
	return "https://sqs." + s.region + ".amazonaws.com/" + s.account + "/" + name
}

func (s *Server) queueByARN(arn string) *queue {
	name, ok := strings.CutPrefix(arn, s.QueueARN(""))
	if !ok {
		return nil
	}
	return s.queues[name]
}

// ensureQueue makes a queue, or finds the one with the same attributes.
func (s *Server) ensureQueue(name string, attributes map[string]string) (*queue, error) {
	if strings.HasSuffix(name, ".fifo") {
		return nil, sqsFailure("InvalidParameterValue", "the emulator does not support FIFO queues")
	}
	if !topicName.MatchString(name) || len(name) > 80 {
		return nil, sqsFailure("InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	if q := s.queues[name]; q != nil {
		for key, value := range attributes {
			if q.attributes[key] != value {
				return nil, sqsFailure("QueueNameExists", "A queue already exists with the same name and a different value for attribute %s", key)
			}
		}
		return q, nil
	}
	q := &queue{name: name, arn: s.QueueARN(name), attributes: map[string]string{}}
	if err := q.set(map[string]string{
		"VisibilityTimeout": "30", "DelaySeconds": "0",
		"MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0",
	}); err != nil {
		return nil, err
	}
	if err := q.set(attributes); err != nil {
		return nil, err
	}
	s.queues[name] = q
	return q, nil
}

func (q *queue) set(attributes map[string]string) error {
	for key, value := range attributes {
		var err error
		switch key {
		case "VisibilityTimeout":
			q.visibility, err = seconds(value, 43200)
		case "DelaySeconds":
			q.delay, err = seconds(value, 900)
		case "MessageRetentionPeriod":
			q.retention, err = seconds(value, 1209600)
		case "ReceiveMessageWaitTimeSeconds":
			_, err = seconds(value, 20)
		case "KmsMasterKeyId", "SqsManagedSseEnabled", "Policy", "RedriveAllowPolicy", "MaximumMessageSize":
		case "RedrivePolicy":
			q.redrive, err = parseRedrive(value)
		default:
			err = sqsFailure("InvalidAttributeName", "Unknown Attribute %s.", key)
		}
		if err != nil {
			return err
		}
		q.attributes[key] = value
	}
	return nil
}

func seconds(value string, most int) (time.Duration, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > most {
		return 0, sqsFailure("InvalidAttributeValue", "not a number of seconds from 0 to %d: %q", most, value)
	}
	return time.Duration(n) * time.Second, nil
}

func parseRedrive(value string) (*redrive, error) {
	var policy struct {
		DeadLetterTargetArn string `json:"deadLetterTargetArn"`
		MaxReceiveCount     any    `json:"maxReceiveCount"` // a number, or its text
	}
	if err := json.Unmarshal([]byte(value), &policy); err != nil {
		return nil, sqsFailure("InvalidParameterValue", "RedrivePolicy: %v", err)
	}
	n, err := strconv.Atoi(fmt.Sprint(policy.MaxReceiveCount))
	if err != nil || n < 1 || n > 1000 || policy.DeadLetterTargetArn == "" {
		return nil, sqsFailure("InvalidParameterValue", "RedrivePolicy needs deadLetterTargetArn and a maxReceiveCount from 1 to 1000: %s", value)
	}
	return &redrive{policy.DeadLetterTargetArn, n}, nil
}

func (q *queue) send(s *Server, body string, attributes map[string]messageAttribute, delay time.Duration, now time.Time) *queued {
	m := &queued{id: s.uuid(), body: body, attributes: attributes, sent: now, visibleAt: now.Add(delay)}
	q.messages = append(q.messages, m)
	return m
}

// receive hands out up to n messages, oldest first. One that was received too
// often already goes to the dead-letter queue instead.
func (q *queue) receive(s *Server, n int, visibility time.Duration, now time.Time) []*queued {
	q.expire(now)
	var got []*queued
	for _, m := range slices.Clone(q.messages) {
		if len(got) == n {
			break
		}
		if m.visibleAt.After(now) {
			continue
		}
		if q.redrive != nil && m.received >= q.redrive.maxReceive {
			if dead := s.queueByARN(q.redrive.arn); dead != nil {
				q.remove(m)
				m.received, m.visibleAt = 0, now
				dead.messages = append(dead.messages, m)
				continue
			}
		}
		if m.received == 0 {
			m.firstAt = now
		}
		m.received++
		m.visibleAt = now.Add(visibility)
		q.nextReceipt++
		m.receipt = m.id + "#" + strconv.Itoa(q.nextReceipt)
		got = append(got, m)
	}
	return got
}

// expire drops what was sent too long ago.
func (q *queue) expire(now time.Time) {
	q.messages = slices.DeleteFunc(q.messages, func(m *queued) bool { return !now.Before(m.sent.Add(q.retention)) })
}

func (q *queue) remove(m *queued) {
	q.messages = slices.DeleteFunc(q.messages, func(other *queued) bool { return other == m })
}

// receipt finds a message by a receipt handle; nil when it is gone, which SQS
// does not mind.
func (q *queue) byReceipt(handle string) (*queued, error) {
	id, count, ok := strings.Cut(handle, "#")
	if n, err := strconv.Atoi(count); !ok || err != nil || n < 1 {
		return nil, sqsFailure("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	}
	for _, m := range q.messages {
		if m.id == id {
			return m, nil
		}
	}
	return nil, nil
}
