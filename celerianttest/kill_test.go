package celerianttest_test

const childFolder = "CELERIANTTEST_CHILD_FOLDER"

func writeUntilKilled(string) {}
