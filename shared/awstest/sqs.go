package awstest

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/faulttest"
)

// sqsAction is one request to SQS, as decoded from its JSON.
type sqsAction interface {
	queueName() string
	// perform runs with the server's lock held.
	perform(s *Server, now time.Time) (any, error)
}

type sqsOperation struct {
	decode func() sqsAction
	read   bool
}

var sqsOperations = map[string]sqsOperation{
	"ChangeMessageVisibility": {func() sqsAction { return new(changeMessageVisibility) }, false},
	"CreateQueue":             {func() sqsAction { return new(createQueue) }, false},
	"DeleteMessage":           {func() sqsAction { return new(deleteMessage) }, false},
	"DeleteMessageBatch":      {func() sqsAction { return new(deleteMessageBatch) }, false},
	"GetQueueAttributes":      {func() sqsAction { return new(getQueueAttributes) }, true},
	"GetQueueUrl":             {func() sqsAction { return new(getQueueURL) }, true},
	"ReceiveMessage":          {func() sqsAction { return new(receiveMessage) }, false},
	"SendMessage":             {func() sqsAction { return new(sendMessage) }, false},
	"SendMessageBatch":        {func() sqsAction { return new(sendMessageBatch) }, false},
}

// queryCodes are the names by which clients of the older protocol know these
// errors; the SDK reads them from a header.
var queryCodes = map[string]string{
	"KmsAccessDenied":        "KMS.AccessDeniedException",
	"QueueDoesNotExist":      "AWS.SimpleQueueService.NonExistentQueue",
	"EmptyBatchRequest":      "AWS.SimpleQueueService.EmptyBatchRequest",
	"TooManyEntriesInBatch":  "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
	"BatchEntryIdsNotUnique": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
	"QueueNameExists":        "QueueAlreadyExists",
}

func sqsFailure(code, format string, args ...any) *failure {
	return fail(http.StatusBadRequest, code, format, args...)
}

func (s *Server) serveSQS(w http.ResponseWriter, r *http.Request, op string) {
	call := faulttest.Call{Service: "sqs", Op: op}
	caller, known := s.caller(r)
	call.Caller = caller
	operation, ok := sqsOperations[op]
	call.Read = operation.read
	var action sqsAction
	var refused error
	switch {
	case !known:
		refused = sqsFailure("UnrecognizedClientException", "The security token included in the request is invalid.")
	case !ok:
		s.noteUnknown("sqs %s", op)
		refused = sqsFailure("UnknownOperationException", "no such operation: %s", op)
	default:
		action = operation.decode()
		if refused = decodeJSON(r.Body, action); refused != nil {
			s.noteUnknown("sqs %s: %v", op, refused)
		} else {
			call.Target = action.queueName()
		}
	}
	throttle := func(w http.ResponseWriter, _ time.Duration) {
		writeSQSFailure(w, sqsFailure("RequestThrottled", "Rate exceeded"))
	}
	s.faults.Serve(w, r, call, throttle, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := refused
		if err == nil {
			err = s.authorized(r.Context(), Access{Caller: caller, Action: "sqs:" + strings.TrimSuffix(op, "Batch"), Resource: s.QueueARN(call.Target)})
		}
		if err == nil {
			err = s.useQueueKey(r.Context(), caller, op, call.Target)
		}
		var reply any
		if err == nil {
			s.mu.Lock()
			reply, err = action.perform(s, s.now())
			s.mu.Unlock()
		}
		if err != nil {
			writeSQSFailure(w, asFailure(err))
			return
		}
		writeJSON(w, jsonVersion10, reply)
	}))
}

// useQueueKey has the caller use the customer-managed key of a queue.
func (s *Server) useQueueKey(ctx context.Context, caller, op, queue string) error {
	use := keyUse{service: "sqs", about: map[string]string{"aws:sqs:arn": s.QueueARN(queue)}, actions: map[string][]string{
		"SendMessage":      {"GenerateDataKey", "Decrypt"},
		"SendMessageBatch": {"GenerateDataKey", "Decrypt"},
		"ReceiveMessage":   {"Decrypt"},
	}[op]}
	s.mu.Lock()
	if q := s.queues[queue]; q != nil && strings.HasPrefix(q.attributes["KmsMasterKeyId"], "arn:") {
		use.key = q.attributes["KmsMasterKeyId"]
	}
	s.mu.Unlock()
	if err := s.useKey(ctx, caller, use); err != nil {
		return sqsFailure("KmsAccessDenied", "%s", asFailure(err).message)
	}
	return nil
}

func writeSQSFailure(w http.ResponseWriter, f *failure) {
	if code, ok := queryCodes[f.code]; ok {
		w.Header().Set("X-Amzn-Query-Error", code+";Sender")
	}
	writeJSONFailure(w, jsonVersion10, f)
}

// queueRef is the QueueUrl that most requests have.
type queueRef struct {
	QueueURL string `json:"QueueUrl"`
}

func (r *queueRef) queueName() string { return r.QueueURL[strings.LastIndexByte(r.QueueURL, '/')+1:] }

func (r *queueRef) queue(s *Server) (*queue, error) {
	if q := s.queues[r.queueName()]; q != nil {
		return q, nil
	}
	return nil, errNoQueue
}

var errNoQueue = sqsFailure("QueueDoesNotExist", "The specified queue does not exist.")

type createQueue struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

type queueURLReply struct {
	QueueURL string `json:"QueueUrl"`
}

func (c *createQueue) queueName() string { return c.QueueName }

func (c *createQueue) perform(s *Server, _ time.Time) (any, error) {
	q, err := s.ensureQueue(c.QueueName, c.Attributes)
	if err != nil {
		return nil, err
	}
	return queueURLReply{s.queueURL(q.name)}, nil
}

type getQueueURL struct {
	QueueName              string
	QueueOwnerAWSAccountID string `json:"QueueOwnerAWSAccountId"`
}

func (g *getQueueURL) queueName() string { return g.QueueName }

func (g *getQueueURL) perform(s *Server, _ time.Time) (any, error) {
	if s.queues[g.QueueName] == nil {
		return nil, errNoQueue
	}
	return queueURLReply{s.queueURL(g.QueueName)}, nil
}

type getQueueAttributes struct {
	queueRef
	AttributeNames []string
}

func (g *getQueueAttributes) perform(s *Server, now time.Time) (any, error) {
	q, err := g.queue(s)
	if err != nil {
		return nil, err
	}
	q.expire(now)
	visible, delayed, inFlight := 0, 0, 0
	for _, m := range q.messages {
		switch {
		case !m.visibleAt.After(now):
			visible++
		case m.received == 0:
			delayed++
		default:
			inFlight++
		}
	}
	all := maps.Clone(q.attributes)
	all["QueueArn"] = q.arn
	all["ApproximateNumberOfMessages"] = strconv.Itoa(visible)
	all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(delayed)
	all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(inFlight)
	if !slices.Contains(g.AttributeNames, "All") {
		maps.DeleteFunc(all, func(name, _ string) bool { return !slices.Contains(g.AttributeNames, name) })
	}
	return map[string]any{"Attributes": all}, nil
}

type outgoing struct {
	MessageBody       string
	DelaySeconds      *int
	MessageAttributes map[string]messageAttribute
}

type sendMessage struct {
	queueRef
	outgoing
}

type sendReply struct {
	ID                     string `json:"Id,omitempty"`
	MessageID              string `json:"MessageId"`
	MD5OfMessageBody       string
	MD5OfMessageAttributes string `json:",omitempty"`
}

func (m *outgoing) size() int {
	n := len(m.MessageBody)
	for name, a := range m.MessageAttributes {
		n += len(name) + len(a.DataType) + len(deref(a.StringValue)) + len(a.BinaryValue)
	}
	return n
}

func (m *outgoing) send(s *Server, q *queue, now time.Time) (sendReply, error) {
	delay := q.delay
	if m.DelaySeconds != nil {
		var err error
		if delay, err = seconds(strconv.Itoa(*m.DelaySeconds), 900); err != nil {
			return sendReply{}, err
		}
	}
	switch {
	case m.MessageBody == "":
		return sendReply{}, sqsFailure("MissingParameter", "The request must contain the parameter MessageBody.")
	case m.size() > maxMessageBytes:
		return sendReply{}, sqsFailure("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxMessageBytes)
	}
	sent := q.send(s, m.MessageBody, m.MessageAttributes, delay, now)
	return sendReply{MessageID: sent.id, MD5OfMessageBody: md5Of(m.MessageBody), MD5OfMessageAttributes: md5OfAttributes(m.MessageAttributes)}, nil
}

func (m *sendMessage) perform(s *Server, now time.Time) (any, error) {
	q, err := m.queue(s)
	if err != nil {
		return nil, err
	}
	return m.send(s, q, now)
}

type batchFailure struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

type batchResult struct {
	Successful []any
	Failed     []batchFailure
}

const maxBatchEntries = 10

// eachEntry performs a batch: entries fail one by one, a malformed batch as a whole.
func eachEntry[E any](entries []E, id func(E) string, perform func(E) (any, error)) (any, error) {
	switch {
	case len(entries) == 0:
		return nil, sqsFailure("EmptyBatchRequest", "There should be at least one entry in the request.")
	case len(entries) > maxBatchEntries:
		return nil, sqsFailure("TooManyEntriesInBatch", "Maximum number of entries per request are %d. You have sent %d.", maxBatchEntries, len(entries))
	}
	ids := map[string]bool{}
	for _, e := range entries {
		ids[id(e)] = true
	}
	if len(ids) < len(entries) || ids[""] {
		return nil, sqsFailure("BatchEntryIdsNotUnique", "Two or more batch entries in the request have the same Id, or none.")
	}
	result := batchResult{Successful: []any{}, Failed: []batchFailure{}}
	for _, e := range entries {
		reply, err := perform(e)
		if err != nil {
			f := asFailure(err)
			result.Failed = append(result.Failed, batchFailure{id(e), f.code, f.message, true})
			continue
		}
		result.Successful = append(result.Successful, reply)
	}
	return result, nil
}

type sendEntry struct {
	ID string `json:"Id"`
	outgoing
}

type sendMessageBatch struct {
	queueRef
	Entries []sendEntry
}

func (b *sendMessageBatch) perform(s *Server, now time.Time) (any, error) {
	q, err := b.queue(s)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, e := range b.Entries {
		size += e.size()
	}
	if size > maxMessageBytes {
		return nil, sqsFailure("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes.", maxMessageBytes)
	}
	return eachEntry(b.Entries, func(e sendEntry) string { return e.ID }, func(e sendEntry) (any, error) {
		reply, err := e.send(s, q, now)
		reply.ID = e.ID
		return reply, err
	})
}

type receiveMessage struct {
	queueRef
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             int
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
}

type received struct {
	MessageID              string `json:"MessageId"`
	ReceiptHandle          string
	Body                   string
	MD5OfBody              string
	MD5OfMessageAttributes string                      `json:",omitempty"`
	Attributes             map[string]string           `json:",omitempty"`
	MessageAttributes      map[string]messageAttribute `json:",omitempty"`
}

// perform answers at once, also when it is asked to wait: there is no time
// here but the injected clock's.
func (r *receiveMessage) perform(s *Server, now time.Time) (any, error) {
	q, err := r.queue(s)
	if err != nil {
		return nil, err
	}
	n, visibility := 1, q.visibility
	if r.MaxNumberOfMessages != nil {
		n = *r.MaxNumberOfMessages
	}
	if r.VisibilityTimeout != nil {
		if visibility, err = seconds(strconv.Itoa(*r.VisibilityTimeout), 43200); err != nil {
			return nil, err
		}
	}
	if n < 1 || n > maxBatchEntries || r.WaitTimeSeconds < 0 || r.WaitTimeSeconds > 20 {
		return nil, sqsFailure("InvalidParameterValue", "MaxNumberOfMessages must be between 1 and %d, WaitTimeSeconds between 0 and 20.", maxBatchEntries)
	}
	names := append(slices.Clone(r.AttributeNames), r.MessageSystemAttributeNames...)
	messages := []received{}
	for _, m := range q.receive(s, n, visibility, now) {
		out := received{
			MessageID: m.id, ReceiptHandle: m.receipt, Body: m.body, MD5OfBody: md5Of(m.body),
			Attributes: m.system(s, names),
		}
		if len(r.MessageAttributeNames) > 0 {
			out.MessageAttributes = maps.Clone(m.attributes)
			if !slices.Contains(r.MessageAttributeNames, "All") && !slices.Contains(r.MessageAttributeNames, ".*") {
				maps.DeleteFunc(out.MessageAttributes, func(name string, _ messageAttribute) bool {
					return !slices.Contains(r.MessageAttributeNames, name)
				})
			}
			out.MD5OfMessageAttributes = md5OfAttributes(out.MessageAttributes)
		}
		messages = append(messages, out)
	}
	return map[string]any{"Messages": messages}, nil
}

func (m *queued) system(s *Server, names []string) map[string]string {
	all := map[string]string{
		"ApproximateReceiveCount":          strconv.Itoa(m.received),
		"SentTimestamp":                    strconv.FormatInt(m.sent.UnixMilli(), 10),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.firstAt.UnixMilli(), 10),
		"SenderId":                         s.account,
	}
	if !slices.Contains(names, "All") {
		maps.DeleteFunc(all, func(name, _ string) bool { return !slices.Contains(names, name) })
	}
	return all
}

type deleteMessage struct {
	queueRef
	ReceiptHandle string
}

func (d *deleteMessage) perform(s *Server, _ time.Time) (any, error) {
	q, err := d.queue(s)
	if err != nil {
		return nil, err
	}
	return struct{}{}, q.deleteByReceipt(d.ReceiptHandle)
}

func (q *queue) deleteByReceipt(handle string) error {
	m, err := q.byReceipt(handle)
	if m != nil {
		q.remove(m)
	}
	return err
}

type receiptEntry struct {
	ID            string `json:"Id"`
	ReceiptHandle string
}

type deleteMessageBatch struct {
	queueRef
	Entries []receiptEntry
}

func (d *deleteMessageBatch) perform(s *Server, _ time.Time) (any, error) {
	q, err := d.queue(s)
	if err != nil {
		return nil, err
	}
	return eachEntry(d.Entries, func(e receiptEntry) string { return e.ID }, func(e receiptEntry) (any, error) {
		return map[string]string{"Id": e.ID}, q.deleteByReceipt(e.ReceiptHandle)
	})
}

type changeMessageVisibility struct {
	queueRef
	ReceiptHandle     string
	VisibilityTimeout int
}

func (c *changeMessageVisibility) perform(s *Server, now time.Time) (any, error) {
	q, err := c.queue(s)
	if err != nil {
		return nil, err
	}
	visibility, err := seconds(strconv.Itoa(c.VisibilityTimeout), 43200)
	if err != nil {
		return nil, err
	}
	m, err := q.byReceipt(c.ReceiptHandle)
	if err != nil {
		return nil, err
	}
	if m == nil || !m.visibleAt.After(now) {
		return nil, sqsFailure("MessageNotInflight", "The message referred to isn't in flight.")
	}
	m.visibleAt = now.Add(visibility)
	return struct{}{}, nil
}

// md5Of is a checksum that clients verify.
func md5Of(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes is the checksum over name, type and value of each
// attribute, in the order of the names, every text after its length.
func md5OfAttributes(attributes map[string]messageAttribute) string {
	if len(attributes) == 0 {
		return ""
	}
	sum := md5.New()
	text := func(b string) {
		_ = binary.Write(sum, binary.BigEndian, uint32(len(b))) // a hash takes everything
		_, _ = sum.Write([]byte(b))
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		text(name)
		text(a.DataType)
		if strings.HasPrefix(a.DataType, "Binary") {
			_, _ = sum.Write([]byte{2})
			text(string(a.BinaryValue))
		} else {
			_, _ = sum.Write([]byte{1})
			text(deref(a.StringValue))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}
