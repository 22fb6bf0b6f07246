// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"net"
	"syscall"
)

// lowWater sets how many bytes must have come before the kernel wakes this process for the connection; reading takes what
// is there all the same. It is a matter of speed only, so an error is no error.
func lowWater(conn net.Conn, bytes int) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn() // below TLS
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
	})
}
