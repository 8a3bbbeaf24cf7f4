// The HTTP/2 conformance suite that test_h2spec.py runs, and what it is built from. Go 1.19 is Debian 12's.
module h2spec

go 1.19

// 2.6.0, by its commit: versions from 2 on are not in the path of the module.
require github.com/summerwind/h2spec v0.0.0-20200804131034-70ac22940108

require (
	github.com/fatih/color v1.15.0
	github.com/spf13/cobra v1.7.0
	golang.org/x/net v0.10.0
)
