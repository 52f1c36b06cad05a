package publish

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/summary"
)

// SNS is what a topic needs of the service: sns:Publish.
type SNS interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Format is the form of a topic's messages.
type Format string

// Formats.
const (
	// Text is for mail, and for people who read what they get as it is.
	Text Format = "text"
	// Chat is for Amazon Q Developer in chat applications, which drops
	// everything else; in a mail it is unreadable.
	Chat Format = "chat"
)

// Topic tells people. Its messages carry two attributes by which subscribers
// can choose: severity, the worst of the open findings or none, and news,
// which says whether anything is new since the last audit.
type Topic struct {
	API SNS
	ARN string
	// Format is [Text] if it is empty.
	Format Format
}

const (
	// maxMessage is SNS' limit of a message with its attributes, in bytes.
	maxMessage = 256 << 10
	// attributeBytes is more than the attributes need.
	attributeBytes = 512
)

func (t Topic) publish(ctx context.Context, r *report.Report, w summary.Where) (string, error) {
	message := ""
	if t.Format == Chat {
		document, err := summary.Chat(r, w)
		if err != nil {
			return "", err
		}
		message = string(document)
	} else {
		message = summary.Text(r, w, maxMessage-attributeBytes)
	}
	worst := "none"
	if s := r.Worst(); s > 0 {
		worst = s.String()
	}
	news := "false"
	if r.WithStatus(report.New)+r.WithStatus(report.Reopened) > 0 {
		news = "true"
	}
	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	out, err := t.API.Publish(ctx, &sns.PublishInput{
		TopicArn: &t.ARN, Subject: aws.String(summary.Subject(r)), Message: &message,
		MessageAttributes: map[string]types.MessageAttributeValue{"severity": text(worst), "news": text(news)},
	})
	if err != nil {
		return "", fmt.Errorf("publishing to %s: %w", t.ARN, reduce(err))
	}
	return aws.ToString(out.MessageId), nil
}
