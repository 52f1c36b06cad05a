package databricks_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/secret"
)

// resetting is a server of HTTP/2 that takes each create, and then resets its
// stream.
type resetting struct {
	code http2.ErrCode

	mu      sync.Mutex
	creates int
}

func (s *resetting) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = framer.WriteSettings()
	paths := map[uint32]string{}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			paths[f.StreamID], ended = f.PseudoValue("path"), f.StreamEnded()
		case *http2.DataFrame:
			ended = f.StreamEnded()
		}
		if !ended {
			continue
		}
		id := frame.Header().StreamID
		if strings.HasSuffix(paths[id], "/credentials/secrets") {
			s.mu.Lock()
			s.creates++
			s.mu.Unlock()
			_ = framer.WriteRSTStream(id, s.code)
			continue
		}
		body := []byte(`{"access_token":"` + accessToken + `","token_type":"Bearer","expires_in":3600}`)
		var block bytes.Buffer
		headers := hpack.NewEncoder(&block)
		_ = headers.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		_ = headers.WriteField(hpack.HeaderField{Name: "content-type", Value: "application/json"})
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
		_ = framer.WriteData(id, true, body)
	}
}

// Invariant 3: Go's HTTP/2 sends a request again after some resets of its stream.
// Of a create nobody knows then whether it was carried out.
func TestCreateIsOneRequestOverHTTP2(t *testing.T) {
	for _, code := range []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeInternal, http2.ErrCodeRefusedStream, http2.ErrCodeCancel} {
		t.Run(code.String(), func(t *testing.T) {
			listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
				Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			server := &resetting{code: code}
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go server.serve(conn)
				}
			}()
			transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			defer transport.CloseIdleConnections()
			url := "https://" + listener.Addr().String()
			client := &databricks.Client{Allowed: allow(t, url), Transport: transport, Identity: databricks.Stored{
				Read: func(context.Context) (string, secret.Text, error) { return "rotator", secret.New(rotatorSecret), nil },
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err = client.CreateSecret(ctx, databricks.Host{URL: url}, "4711", lifetime, nil)
			if !errors.Is(err, databricks.ErrUncertain) || databricks.Unsent(err) {
				t.Errorf("%v, want ErrUncertain", err)
			}
			server.mu.Lock()
			defer server.mu.Unlock()
			if server.creates != 1 {
				t.Errorf("%d requests arrived, want 1", server.creates)
			}
		})
	}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
