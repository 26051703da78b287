//go:build tools

// Package etcd pins etcdctl 3.6 in go.mod; build-tools builds it from there.
package etcd

import _ "go.etcd.io/etcd/etcdctl/v3"
