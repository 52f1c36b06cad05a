package awstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	jsonVersion10 = "application/x-amz-json-1.0"
	jsonVersion11 = "application/x-amz-json-1.1"
)

// decodeJSON reads a request strictly: a field that the operation does not
// have is an error, which a real service would swallow and a typo would hide in.
func decodeJSON(body io.Reader, into any) error {
	raw, err := io.ReadAll(io.LimitReader(body, 8<<20))
	if err != nil {
		return fail(http.StatusBadRequest, "SerializationException", "read the request: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fail(http.StatusBadRequest, "SerializationException", "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fail(http.StatusBadRequest, "SerializationException", "data after the request's object")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, version string, reply any) {
	body, err := json.Marshal(reply)
	if err != nil {
		writeJSONFailure(w, version, asFailure(err))
		return
	}
	w.Header().Set("Content-Type", version)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the client went away
}

func writeJSONFailure(w http.ResponseWriter, version string, f *failure) {
	reply := map[string]string{"__type": f.code, "message": f.message}
	if version == jsonVersion11 {
		reply = map[string]string{"__type": f.code, "Message": f.message}
	}
	body, _ := json.Marshal(reply) // strings always marshal
	w.Header().Set("Content-Type", version)
	w.WriteHeader(f.status)
	_, _ = w.Write(body)
}

// epoch is a time in seconds since 1970, with milliseconds as the fraction.
type epoch time.Time

func (e epoch) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(e).UnixMilli())/1000, 'f', -1, 64), nil
}

// at is nil for the zero time, so that the field is left out.
func at(t time.Time) *epoch {
	if t.IsZero() {
		return nil
	}
	e := epoch(t)
	return &e
}
