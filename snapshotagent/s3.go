package snapshotagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// DefaultS3Endpoint is where buckets are looked for.
const DefaultS3Endpoint = "https://s3.amazonaws.com"

// s3Part is how much is sent in one request of a large upload.
const s3Part = 64 << 20

// S3Config names a bucket, which must exist. Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_SESSION_TOKEN.
type S3Config struct {
	Endpoint string // https://host[:port] or http://...; empty stands for DefaultS3Endpoint
	Region   string // empty: AWS_REGION, AWS_DEFAULT_REGION, or what the service says
	Bucket   string
	Prefix   string // of the keys, before the names; a "/" is put behind it
}

// S3 is a Store in a bucket of an S3-compatible service.
type S3 struct {
	client         *minio.Client
	transport      *http.Transport
	bucket, prefix string
}

var _ Store = (*S3)(nil)

// NewS3 checks the configuration. It does not connect. Close gives connections back.
func NewS3(cfg S3Config) (*S3, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = DefaultS3Endpoint
	}
	u, err := url.Parse(cfg.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return nil, errors.New("S3 endpoint: want https://host[:port] or http://host[:port], without a user or password") // which an error must not show
	case cfg.Bucket == "":
		return nil, errors.New("no S3 bucket given")
	case os.Getenv("AWS_ACCESS_KEY_ID") == "" || os.Getenv("AWS_SECRET_ACCESS_KEY") == "":
		return nil, errors.New("no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if cfg.Region == "" {
			cfg.Region = os.Getenv(name)
		}
	}
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, fmt.Errorf("S3 endpoint %s: %w", cfg.Endpoint, err)
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewEnvAWS(), Secure: u.Scheme == "https", Region: cfg.Region, Transport: transport,
		MaxRetries: 1, // the agent has its own
	})
	if err != nil {
		return nil, fmt.Errorf("S3 endpoint %s: %w", cfg.Endpoint, err)
	}
	prefix := strings.Trim(cfg.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &S3{client, transport, cfg.Bucket, prefix}, nil
}

// Close drops idle connections.
func (s *S3) Close() { s.transport.CloseIdleConnections() }

func (s *S3) String() string { return "s3://" + s.bucket + "/" + s.prefix }

func (s *S3) fail(op, name string, err error) error {
	return fmt.Errorf("%s %s%s: %w", op, s, name, err)
}

// Put uploads, in parts if there is much. The object appears when all of it is there.
func (s *S3) Put(ctx context.Context, name string, archive io.ReaderAt, size int64) error {
	_, err := s.client.PutObject(ctx, s.bucket, s.prefix+name, io.NewSectionReader(archive, 0, size), size, minio.PutObjectOptions{
		ContentType: "application/x-gzip", PartSize: s3Part, SendContentMd5: true,
	})
	if err != nil {
		return s.fail("upload", name, err)
	}
	return nil
}

// List returns the names below the prefix, not those of further folders.
func (s *S3) List(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing after an error
	var names []string
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix}) {
		if o.Err != nil {
			return nil, s.fail("list", "", o.Err)
		}
		if name := strings.TrimPrefix(o.Key, s.prefix); !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names, nil
}

// Open begins a download.
func (s *S3) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	o, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.fail("download", name, err)
	}
	return o, nil
}

// Delete removes an object. One that is gone already is no error.
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{}); err != nil {
		return s.fail("delete", name, err)
	}
	return nil
}
