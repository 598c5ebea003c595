package oci_test

const victimArgument = "thermocline-victim"

func victim() {}
