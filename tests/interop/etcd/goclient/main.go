package main

import (
	_ "go.etcd.io/etcd/client/v3"
)

func main() {}
