package awstest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Message is what was published to a topic.
type Message struct {
	ID      string
	Subject string
	Body    string
	// Attributes are the string values of the message attributes.
	Attributes map[string]string
	At         time.Time
}

type topic struct {
	name          string
	arn           string
	key           string // ARN of a customer-managed key
	subscriptions []Subscription
	published     []Message
}

// Subscription is who gets what is published to a topic. Only those to SQS
// deliver; the others are recorded.
type Subscription struct {
	ARN      string
	Protocol string
	Endpoint string
}

// maxMessageBytes is the size limit of SNS and of SQS: 256 KiB.
const maxMessageBytes = 256 << 10

var topicName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

// CreateTopic makes a topic and returns its ARN; the one that is there stays.
func (s *Server) CreateTopic(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ensureTopic(name).arn
}

// EncryptTopic has a topic encrypt what is published with a customer-managed
// key.
func (s *Server) EncryptTopic(arn, keyARN string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[arn]; t != nil {
		t.key = keyARN
	}
}

func (s *Server) topicARN(name string) string {
	return "arn:aws:sns:" + s.region + ":" + s.account + ":" + name
}

func (s *Server) ensureTopic(name string) *topic {
	arn := s.topicARN(name)
	if s.topics[arn] == nil {
		s.topics[arn] = &topic{name: name, arn: arn}
	}
	return s.topics[arn]
}

// Published returns the messages of a topic, oldest first.
func (s *Server) Published(topicARN string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[topicARN]; t != nil {
		return slices.Clone(t.published)
	}
	return nil
}

// Subscriptions returns the subscriptions to a topic, oldest first.
func (s *Server) Subscriptions(topicARN string) []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[topicARN]; t != nil {
		return slices.Clone(t.subscriptions)
	}
	return nil
}

func invalidSNS(format string, args ...any) error {
	return fail(http.StatusBadRequest, "InvalidParameter", "Invalid parameter: "+format, args...)
}

func (s *Server) topic(arn string) (*topic, error) {
	if t := s.topics[arn]; t != nil {
		return t, nil
	}
	return nil, fail(http.StatusNotFound, "NotFound", "Topic does not exist")
}

func prepareCreateTopic(s *Server, f *form) (queryAction, error) {
	name := f.take("Name")
	if !topicName.MatchString(name) {
		return queryAction{}, invalidSNS("Topic Name")
	}
	return queryAction{
		target: name,
		access: Access{Resource: s.topicARN(name)},
		perform: func(queryCall) ([]element, error) {
			return []element{{name: "TopicArn", text: s.CreateTopic(name)}}, nil
		},
	}, nil
}

func prepareListTopics(s *Server, f *form) (queryAction, error) {
	after := f.take("NextToken")
	return queryAction{perform: func(queryCall) ([]element, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		const page = 100
		list := element{name: "Topics"}
		var next []element
		for _, arn := range slices.Sorted(maps.Keys(s.topics)) {
			if arn <= after {
				continue
			}
			if len(list.children) == page {
				next = []element{{name: "NextToken", text: list.children[page-1].children[0].text}}
				break
			}
			list.children = append(list.children, element{name: "member", children: []element{{name: "TopicArn", text: arn}}})
		}
		return append([]element{list}, next...), nil
	}}, nil
}

func preparePublish(s *Server, f *form) (queryAction, error) {
	arn := f.take("TopicArn")
	m := Message{Body: f.take("Message"), Subject: f.take("Subject")}
	structure := f.take("MessageStructure")
	size := len(m.Body)
	for i := 1; ; i++ {
		prefix := fmt.Sprintf("MessageAttributes.entry.%d.", i)
		name := f.take(prefix + "Name")
		if name == "" {
			break
		}
		kind := f.take(prefix + "Value.DataType")
		value := f.take(prefix + "Value.StringValue")
		if kind != "String" && kind != "Number" && kind != "String.Array" {
			return queryAction{}, invalidSNS("the emulator does not support message attributes of type %q", kind)
		}
		if m.Attributes == nil {
			m.Attributes = map[string]string{}
		}
		m.Attributes[name] = value
		size += len(name) + len(kind) + len(value)
	}
	switch {
	case m.Body == "":
		return queryAction{}, invalidSNS("Empty message")
	case size > maxMessageBytes:
		return queryAction{}, invalidSNS("Message too long")
	case !validSubject(m.Subject):
		return queryAction{}, invalidSNS("Subject")
	}
	if structure != "" {
		var texts map[string]string
		if err := json.Unmarshal([]byte(m.Body), &texts); structure != "json" || err != nil || texts["default"] == "" {
			return queryAction{}, invalidSNS("Message Structure - the message must be JSON with a default entry")
		}
	}
	use := keyUse{service: "sns", actions: []string{"GenerateDataKey", "Decrypt"}, about: map[string]string{"aws:sns:topicArn": arn}}
	s.mu.Lock()
	if t := s.topics[arn]; t != nil {
		use.key = t.key
	}
	s.mu.Unlock()
	return queryAction{
		target:  arn[strings.LastIndexByte(arn, ':')+1:],
		access:  Access{Resource: arn, Conditions: map[string][]string{"aws:ResourceAccount": {accountOf(arn)}}},
		key:     use,
		perform: func(c queryCall) ([]element, error) { return s.publish(c, arn, m) },
	}, nil
}

// validSubject holds for what fits an email's header: at most 100 printable
// ASCII characters.
func validSubject(subject string) bool {
	return len(subject) <= 100 && !strings.ContainsFunc(subject, func(r rune) bool { return r < ' ' || r > '~' })
}

func (s *Server) publish(c queryCall, arn string, m Message) ([]element, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topic(arn)
	if err != nil {
		return nil, err
	}
	m.ID, m.At = s.uuid(), c.now
	t.published = append(t.published, m)
	for _, sub := range t.subscriptions {
		if q := s.queueByARN(sub.Endpoint); sub.Protocol == "sqs" && q != nil {
			body, err := json.Marshal(map[string]any{
				"Type": "Notification", "MessageId": m.ID, "TopicArn": arn, "Subject": m.Subject,
				"Message": m.Body, "Timestamp": c.now.UTC().Format("2006-01-02T15:04:05.000Z"),
			})
			if err != nil {
				return nil, err
			}
			q.send(s, string(body), nil, 0, c.now)
		}
	}
	return []element{{name: "MessageId", text: m.ID}}, nil
}

func prepareSubscribe(s *Server, f *form) (queryAction, error) {
	arn, protocol, endpoint := f.take("TopicArn"), f.take("Protocol"), f.take("Endpoint")
	f.take("ReturnSubscriptionArn") // it always is
	if !slices.Contains([]string{"sqs", "email", "email-json", "https", "lambda"}, protocol) || endpoint == "" {
		return queryAction{}, invalidSNS("Protocol or Endpoint: %s %s", protocol, endpoint)
	}
	return queryAction{
		target: arn[strings.LastIndexByte(arn, ':')+1:],
		access: Access{Resource: arn},
		perform: func(queryCall) ([]element, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			t, err := s.topic(arn)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256([]byte(protocol + " " + endpoint))
			sub := Subscription{ARN: arn + ":" + hex.EncodeToString(sum[:16]), Protocol: protocol, Endpoint: endpoint}
			if !slices.Contains(t.subscriptions, sub) {
				t.subscriptions = append(t.subscriptions, sub)
			}
			return []element{{name: "SubscriptionArn", text: sub.ARN}}, nil
		},
	}, nil
}
