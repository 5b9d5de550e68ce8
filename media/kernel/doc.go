// Package kernel relays RTP in the kernel: a program at the ingress of the interfaces rewrites the packets of known
// flows and sends them on, without a system call.
package kernel
