//go:build realwgsd

package main

import _ "github.com/jwhited/wgsd"
