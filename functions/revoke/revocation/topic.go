package revocation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
)

// maxMessage keeps a message below SNS's limit of 256 KiB.
const maxMessage = 250 << 10

// SNS is what a topic needs of AWS.
type SNS interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Topic announces by SNS.
type Topic struct {
	API SNS
	ARN string
}

// Announce implements [Announcer].
func (t Topic) Announce(ctx context.Context, subject, text string) error {
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "\n… the rest is in the function's log\n"
	}
	_, err := t.API.Publish(ctx, &sns.PublishInput{TopicArn: &t.ARN, Subject: aws.String(subject), Message: aws.String(text)})
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("publishing to %s: %s: %s", t.ARN, api.ErrorCode(), api.ErrorMessage())
	}
	return fmt.Errorf("publishing to %s: no reply from SNS", t.ARN)
}
