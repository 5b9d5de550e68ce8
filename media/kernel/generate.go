package kernel

// Generating needs clang, libbpf's headers and llvm-strip. relay.sum records the source of the object and
// the compiler.
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go@v0.22.0 -target bpfel -tags linux -type figures -type flow -type speech -type steering -cflags "-O2 -g -Wall -Werror -mcpu=v2 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" -output-stem relay program relay.bpf.c
//go:generate sh -c "{ sha256sum < relay.bpf.c; clang --version | head -1; } > relay.sum"
