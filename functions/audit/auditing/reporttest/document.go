package reporttest

import (
	"bytes"
	"io"
)

// Document is a report's JSON in memory.
type Document struct{ *bytes.Reader }

// NewDocument gives the JSON as a document; call it only if there is one.
func NewDocument(body []byte) Document { return Document{bytes.NewReader(body)} }

// Close does nothing.
func (Document) Close() error { return nil }

var _ io.ReadSeekCloser = Document{}
