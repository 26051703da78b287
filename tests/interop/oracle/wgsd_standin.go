//go:build !realwgsd

package main

import _ "warren.test/oracle/wgsd-standin"
