// Command genproto generates the Go code and the OpenAPI description of the
// .proto files under api/proto.
//
//	cd tools && go run ./genproto [-out DIR]
//
// It needs no protoc: the files are compiled in process, the plugins are those
// that tools/go.mod pins, and what the files import from google/ comes from the
// Go packages that carry it. The title and such of the OpenAPI description are
// in openapi.yaml, beside the .proto files, and what else they do not say in
// openapi.json.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	_ "google.golang.org/genproto/googleapis/api/annotations" // what the API imports
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

type plugin struct {
	name, options string
	more          string // of the OpenAPI description: a file with what the plugin cannot know
}

// plugins returns what is run, and what each is told.
func plugins(root string) []plugin {
	return []plugin{
		{name: "protoc-gen-go", options: "paths=source_relative"},
		{name: "protoc-gen-go-grpc", options: "paths=source_relative"},
		{name: "protoc-gen-grpc-gateway", options: "paths=source_relative"},
		{
			name: "protoc-gen-openapiv2", options: "json_names_for_fields=true,openapi_configuration=" + filepath.Join(root, "openapi.yaml"),
			more: filepath.Join(root, "openapi.json"),
		},
	}
}

func main() {
	root := flag.String("proto", "../api/proto", "folder of the .proto files")
	out := flag.String("out", "", "folder to write to (default: that of the .proto files)")
	flag.Parse()
	if *out == "" {
		*out = *root
	}
	if err := generate(context.Background(), *root, *out); err != nil {
		fmt.Fprintln(os.Stderr, "genproto:", err)
		os.Exit(1)
	}
}

func generate(ctx context.Context, root, out string) error {
	names, err := protoFiles(root)
	if err != nil {
		return err
	}
	files, err := compile(ctx, root, names)
	if err != nil {
		return err
	}
	for _, p := range plugins(root) {
		if err := p.run(ctx, names, files, out); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func protoFiles(root string) ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".proto") {
			names = append(names, path)
		}
		return err
	})
	return names, err
}

// compile returns the files and all that they import, imports first.
func compile(ctx context.Context, root string, names []string) ([]*descriptorpb.FileDescriptorProto, error) {
	linked := protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
		d, err := protoregistry.GlobalFiles.FindFileByPath(path)
		return protocompile.SearchResult{Desc: d}, err
	})
	c := protocompile.Compiler{
		Resolver:       protocompile.CompositeResolver{&protocompile.SourceResolver{ImportPaths: []string{root}}, linked},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := c.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	var files []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	for _, f := range compiled {
		files = withImports(f, seen, files)
	}
	return files, nil
}

func withImports(f protoreflect.FileDescriptor, seen map[string]bool, files []*descriptorpb.FileDescriptorProto) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return files
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		files = withImports(f.Imports().Get(i).FileDescriptor, seen, files)
	}
	return append(files, protodesc.ToFileDescriptorProto(f))
}

func (p plugin) run(ctx context.Context, names []string, files []*descriptorpb.FileDescriptorProto, out string) error {
	response, err := p.ask(ctx, &pluginpb.CodeGeneratorRequest{
		FileToGenerate: names, Parameter: &p.options, ProtoFile: files,
		CompilerVersion: &pluginpb.Version{Major: proto.Int32(5)},
	})
	if err != nil {
		return err
	}
	for _, f := range response.File {
		name, content := f.GetName(), f.GetContent()
		if base, ok := strings.CutSuffix(name, ".swagger.json"); ok {
			name = base + ".openapi.json"
			content, err = openAPI(content, p.more)
		}
		if err == nil {
			err = write(filepath.Join(out, name), content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ask runs the plugin as protoc does: the request on its standard input, the
// response on its standard output.
func (p plugin) ask(ctx context.Context, request *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	in, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", p.name)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	response := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(answer, response); err != nil {
		return nil, err
	}
	if response.Error != nil {
		return nil, errors.New(response.GetError())
	}
	return response, nil
}

func write(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}
