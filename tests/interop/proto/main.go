// Compares our messages with etcd's and gRPC's own: every message, field, number, type, enum value
// and method, in both directions. Prints one line a difference and a closing line.
//
// Usage: proto DESCRIPTOR_SET (what `protoc --descriptor_set_out` made of registry/proto)
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// etcd's generated code keeps its descriptors compressed, outside the global registry.
func unzipped(data []byte, _ []int) *descriptorpb.FileDescriptorProto {
	reader, err := gzip.NewReader(bytes.NewReader(data))
	fail(err)
	plain, err := io.ReadAll(reader)
	fail(err)
	file := &descriptorpb.FileDescriptorProto{}
	fail(proto.Unmarshal(plain, file))
	return file
}

// facts maps what is said ("message etcdserverpb.PutRequest field key") to how ("1 optional bytes").
type facts map[string]string

func (f facts) enum(scope string, e *descriptorpb.EnumDescriptorProto) {
	for _, v := range e.Value {
		f["enum "+scope+"."+e.GetName()+" value "+v.GetName()] = fmt.Sprint(v.GetNumber())
	}
}

func (f facts) message(scope string, m *descriptorpb.DescriptorProto) {
	name := scope + "." + m.GetName()
	f["message "+name] = ""
	for _, field := range m.Field {
		how := fmt.Sprintf("%d %s %s %s", field.GetNumber(), field.GetLabel(), field.GetType(), field.GetTypeName())
		if field.OneofIndex != nil {
			how += " oneof " + m.OneofDecl[field.GetOneofIndex()].GetName()
		}
		f["message "+name+" field "+field.GetName()] = how
	}
	for _, e := range m.EnumType {
		f.enum(name, e)
	}
	for _, nested := range m.NestedType {
		f.message(name, nested)
	}
}

func (f facts) file(file *descriptorpb.FileDescriptorProto) {
	for _, e := range file.EnumType {
		f.enum(file.GetPackage(), e)
	}
	for _, m := range file.MessageType {
		f.message(file.GetPackage(), m)
	}
	for _, s := range file.Service {
		for _, method := range s.Method {
			f["method /"+file.GetPackage()+"."+s.GetName()+"/"+method.GetName()] = fmt.Sprint(
				method.GetInputType(), " ", method.GetClientStreaming(), " -> ", method.GetOutputType(), " ", method.GetServerStreaming())
		}
	}
}

// Messages that etcd's members keep in their log, which no service carries.
var internal = []string{
	"message etcdserverpb.DowngradeVersionTestRequest", "message etcdserverpb.LeaseCheckpoint",
}

func isInternal(name string) bool {
	for _, prefix := range internal {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: proto DESCRIPTOR_SET")
		os.Exit(2)
	}
	theirs, ours := facts{}, facts{}
	theirs.file(unzipped((&etcdserverpb.RangeRequest{}).Descriptor()))
	theirs.file(unzipped((&mvccpb.KeyValue{}).Descriptor()))
	theirs.file(unzipped((&authpb.User{}).Descriptor()))
	theirs.file(protodesc.ToFileDescriptorProto(grpc_health_v1.File_grpc_health_v1_health_proto))

	data, err := os.ReadFile(os.Args[1])
	fail(err)
	set := &descriptorpb.FileDescriptorSet{}
	fail(proto.Unmarshal(data, set))
	for _, file := range set.File {
		ours.file(file)
	}

	names := map[string]bool{}
	for name := range theirs {
		names[name] = true
	}
	for name := range ours {
		names[name] = true
	}
	sorted := []string{}
	for name := range names {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	passed, failed := 0, 0
	for _, name := range sorted {
		a, inTheirs := theirs[name]
		b, inOurs := ours[name]
		switch {
		case !inOurs && isInternal(name):
			continue
		case !inOurs:
			fmt.Println("FAIL  missing:", name, strings.TrimSpace(a))
		case !inTheirs:
			fmt.Println("FAIL  not etcd's:", name, strings.TrimSpace(b))
		case a != b:
			fmt.Printf("FAIL  %s\n  etcd: %s\n  ours: %s\n", name, a, b)
		default:
			passed++
			continue
		}
		failed++
	}
	fmt.Printf("%d passed, %d failed, 0 skipped\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}
