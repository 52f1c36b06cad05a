package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
)

const (
	// maxMessage keeps a message below SNS's limit of 256 KiB.
	maxMessage = 250 << 10
	// maxChat is where Slack would cut a section.
	maxChat = 2800
)

// SNS is what a topic needs of AWS.
type SNS interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Topic announces by SNS.
type Topic struct {
	API SNS
	ARN string
	// Chat writes what Amazon Q Developer in chat applications passes on. It
	// drops everything else.
	Chat bool
}

// attributes are those of an audit's summary, on the same topic: a subscriber
// that filters by them would otherwise never hear of a revocation.
var attributes = map[string]types.MessageAttributeValue{
	"severity": {DataType: aws.String("String"), StringValue: aws.String("critical")},
	"news":     {DataType: aws.String("String"), StringValue: aws.String("true")},
}

// Announce implements [Announcer].
func (t Topic) Announce(ctx context.Context, subject, text string) error {
	limit := maxMessage
	if t.Chat {
		limit = maxChat
	}
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "\n… the rest is in the function's log\n"
	}
	if t.Chat {
		var err error
		if text, err = chat(subject, text); err != nil {
			return err
		}
	}
	_, err := t.API.Publish(ctx, &sns.PublishInput{
		TopicArn: &t.ARN, Subject: aws.String(subject), Message: aws.String(text), MessageAttributes: attributes,
	})
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("publishing to %s: %s: %s", t.ARN, api.ErrorCode(), api.ErrorMessage())
	}
	return fmt.Errorf("publishing to %s: no reply from SNS", t.ARN)
}

// chat is the one form of message that reaches a chat. The text is in a block
// of code, where no name in it can be markup.
func chat(subject, text string) (string, error) {
	type content struct {
		TextType    string `json:"textType"`
		Title       string `json:"title"`
		Description string `json:"description"`
	}
	const fence = "```"
	block := fence + "\n" + strings.ReplaceAll(text, fence, `"`) + "\n" + fence
	out, err := json.Marshal(struct {
		Version string  `json:"version"`
		Source  string  `json:"source"`
		Content content `json:"content"`
	}{"1.0", "custom", content{"client-markdown", subject, block}})
	if err != nil {
		return "", fmt.Errorf("writing the notification: %w", err)
	}
	return string(out), nil
}
