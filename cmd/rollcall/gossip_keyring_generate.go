package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

// gossipKeyBytes makes AES-256 of it.
const gossipKeyBytes = 32

func (a *app) gossipKeyringGenerateCommand() *cli.Command {
	return a.command(spec{
		name: "generate", usage: "make a gossip key",
		help:    "The key goes to standard output. Set it as server.encrypt before the first start, or install it into a running cluster.",
		example: "operator gossip keyring generate > gossip.key",
	}, func(_ context.Context, v *invocation) error {
		key := make([]byte, gossipKeyBytes)
		if _, err := rand.Read(key); err != nil {
			return fmt.Errorf("make gossip key: %w", err)
		}
		_, err := fmt.Fprintln(v.out, base64.StdEncoding.EncodeToString(key))
		return err
	})
}

const gossipKeyHelp = "With - the key is read from standard input, so that it does not show in the list of processes."

// gossipKey is the key that the command was given.
func (v *invocation) gossipKey() (string, error) {
	key := v.Args().First()
	if key == "-" {
		line, err := bufio.NewReader(io.LimitReader(v.in, 1024)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("read gossip key: %w", err)
		}
		key = strings.TrimSpace(line)
	}
	if _, err := structs.DecodeGossipKey(key); err != nil {
		return "", usagef(v.Command, "%s", err)
	}
	return key, nil
}
