package node

// hookAt is where the hooks are asked.
func (n *Node) hookAt() string {
	_, l := n.hookServer.Listener()
	return l.Addr().String()
}
