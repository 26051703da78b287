package main

import (
	_ "go.etcd.io/etcd/api/v3/etcdserverpb"
	_ "golang.org/x/net/http2"
	_ "google.golang.org/grpc"
	_ "google.golang.org/protobuf/encoding/protowire"
)

func main() {}
