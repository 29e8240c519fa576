package kms_test

import (
	"context"
	"hash/crc32"
	"net"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rahasia/rahasia/examples/kms"
	"github.com/rahasia/rahasia/keyring"
)

func resource(name string) string {
	return "projects/clinic/locations/asia-southeast2/keyRings/rahasia/cryptoKeys/" + name
}

// newGoogle is Cloud KMS on loopback: Google's own gRPC service definition
// over HTTP/2, with the checksums that it prescribes.
func newGoogle(t testing.TB) *service {
	f := newFake(t, 8<<10, resource("identity"), resource("clinical"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(srv, &googleServer{fake: f})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return &service{
		fake: f, stop: srv.Stop, id: resource, limit: 79, context: true, patient: true,
		kek: func(t testing.TB, name string) keyring.KEK {
			// Without a TLS certificate and credentials, for the loopback alone.
			k, err := kms.Google(t.Context(), resource(name), option.WithEndpoint(l.Addr().String()),
				option.WithoutAuthentication(), option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
			require.NoError(t, err)
			return k
		},
	}
}

type googleServer struct {
	kmspb.UnimplementedKeyManagementServiceServer
	*fake
}

func crc(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}

func (s *googleServer) Encrypt(ctx context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	if r.PlaintextCrc32C.GetValue() != crc(r.Plaintext).Value ||
		r.AdditionalAuthenticatedDataCrc32C.GetValue() != crc(r.AdditionalAuthenticatedData).Value {
		return nil, status.Error(codes.InvalidArgument, "checksum")
	}
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	if len(r.Plaintext)+len(r.AdditionalAuthenticatedData) > s.limit { // of an HSM key: both together
		return nil, googleError(errTooLong)
	}
	b, err := s.encrypt(r.Name, r.Plaintext, r.AdditionalAuthenticatedData)
	if err != nil {
		return nil, googleError(err)
	}
	return &kmspb.EncryptResponse{
		Name: r.Name + "/cryptoKeyVersions/1", Ciphertext: b, CiphertextCrc32C: crc(b),
		VerifiedPlaintextCrc32C: true, VerifiedAdditionalAuthenticatedDataCrc32C: true,
	}, nil
}

func (s *googleServer) Decrypt(ctx context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	if r.CiphertextCrc32C.GetValue() != crc(r.Ciphertext).Value ||
		r.AdditionalAuthenticatedDataCrc32C.GetValue() != crc(r.AdditionalAuthenticatedData).Value {
		return nil, status.Error(codes.InvalidArgument, "checksum")
	}
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	b, err := s.decrypt(r.Name, r.Ciphertext, r.AdditionalAuthenticatedData)
	if err != nil {
		return nil, googleError(err)
	}
	return &kmspb.DecryptResponse{Plaintext: b, PlaintextCrc32C: crc(b), UsedPrimary: true}, nil
}

func (s *googleServer) wait(ctx context.Context) error {
	if s.hang.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func googleError(err error) error {
	switch err {
	case errNoKey:
		return status.Error(codes.NotFound, "CryptoKey not found.")
	case errDenied:
		return status.Error(codes.PermissionDenied, "Permission 'cloudkms.cryptoKeyVersions.useToDecrypt' denied")
	case errThrottled:
		return status.Error(codes.ResourceExhausted, "Quota exceeded: throttled")
	case errTooLong:
		return status.Error(codes.InvalidArgument, "plaintext is too long")
	}
	return status.Error(codes.InvalidArgument, "Decryption failed: the ciphertext is invalid.")
}
