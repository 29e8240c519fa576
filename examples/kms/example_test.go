package kms_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/hashicorp/vault/api"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/rahasia/rahasia/examples/kms"
	"github.com/rahasia/rahasia/keyring"
)

// try makes a ring whose compartments have a KEK each.
func try(ctx context.Context, identity, clinical keyring.KEK) {
	ring, err := keyring.Create(ctx, "clinic", keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(),
		KEKs: map[string]keyring.KEK{"ring": identity, "identity": identity, "clinical": clinical},
	})
	check(err)
	check(ring.CreateKeyset(ctx, "identity"))
	check(ring.CreateKeyset(ctx, "clinical"))
	keys, err := ring.CreateSubject(ctx, "patient-1", "identity", "clinical")
	check(err)
	fmt.Println(keys[0], keys[1])
	check(ring.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleAWS() {
	ctx := context.Background()
	address, stop := awsOnLoopback() // a stand-in: leave this line and BaseEndpoint out
	defer stop()
	client := awskms.New(awskms.Options{ // in a program: awskms.NewFromConfig(cfg), with config.LoadDefaultConfig
		Region: "ap-southeast-3", BaseEndpoint: aws.String(address),
		Credentials: credentials.NewStaticCredentialsProvider(awsID, awsSecret, ""),
	})
	identity, err := kms.AWS(ctx, "arn:aws:kms:ap-southeast-3:111122223333:key/identity", client)
	check(err)
	clinical, err := kms.AWS(ctx, "arn:aws:kms:ap-southeast-3:111122223333:key/clinical", client)
	check(err)
	try(ctx, identity, clinical)
	// Output: keyring.SubjectKey(identity, generation 1) keyring.SubjectKey(clinical, generation 1)
}

func ExampleGoogle() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	options, stop := googleOnLoopback() // a stand-in: leave both out, and Google's defaults count
	defer stop()
	const ring = "projects/clinic/locations/asia-southeast2/keyRings/rahasia/cryptoKeys/"
	identity, err := kms.Google(ctx, ring+"identity", options...)
	check(err)
	clinical, err := kms.Google(ctx, ring+"clinical", options...)
	check(err)
	try(ctx, identity, clinical)
	// Output: keyring.SubjectKey(identity, generation 1) keyring.SubjectKey(clinical, generation 1)
}

func ExampleVault() {
	ctx := context.Background()
	address, stop := vaultOnLoopback() // a stand-in: leave it out, and VAULT_ADDR counts
	defer stop()
	cfg := api.DefaultConfig()
	cfg.Address = address
	client, err := api.NewClient(cfg)
	check(err)
	client.SetToken(vaultToken) // in a program: VAULT_TOKEN, or a login method of Vault's client
	client.SetClientTimeout(10 * time.Second)
	identity, err := kms.Vault("/transit/keys/identity", client)
	check(err)
	clinical, err := kms.Vault("/transit/keys/clinical", client)
	check(err)
	try(ctx, identity, clinical)
	// Output: keyring.SubjectKey(identity, generation 1) keyring.SubjectKey(clinical, generation 1)
}

func awsOnLoopback() (address string, stop func()) {
	f, err := makeFake(4096, arn("identity"), arn("clinical"))
	check(err)
	srv := httptest.NewServer(http.HandlerFunc(f.serveAWS))
	return srv.URL, srv.Close
}

func vaultOnLoopback() (address string, stop func()) {
	f, err := makeFake(1<<20, "identity", "clinical")
	check(err)
	srv := httptest.NewServer(http.HandlerFunc(f.serveVault))
	return srv.URL, srv.Close
}

func googleOnLoopback() (options []option.ClientOption, stop func()) {
	f, err := makeFake(8<<10, resource("identity"), resource("clinical"))
	check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	srv := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(srv, &googleServer{fake: f})
	go func() { _ = srv.Serve(l) }()
	return []option.ClientOption{
		option.WithEndpoint(l.Addr().String()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}, srv.Stop
}
