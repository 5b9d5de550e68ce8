// The programs that load are a module of their own: they are no part of the product.
module flowbridge/scripts

go 1.26.0

require golang.org/x/sys v0.49.0
