// Package events keeps the latest changes of a server's state for whoever follows them: a bounded buffer between the
// state machine, which puts events in, and subscriptions, which take them out at their own pace.
//
// What an event is, package structs says; which command makes which, package state.
//
// It promises, for events that the log makes:
//   - order: a subscription gets them by ascending index, all of an index that it asked for in one frame;
//   - none is lost and none comes twice, from the first index asked for on. Whoever reconnects, to whichever server,
//     with the index of its last frame plus one goes on without a seam, as the same log makes the same events everywhere;
//   - where that can't be kept it is said: ErrGap when events that were asked for have left the buffer, at the start or
//     because the subscription was too slow, and ErrReset when the state was replaced by a snapshot. Then the follower
//     reads the state anew and goes on from the index that came with it;
//   - the publisher never waits for a subscription. Publishing takes a lock that is held for a few instructions, and
//     costs the same whether there are subscriptions or not. What a slow one can keep in memory is the buffer.
//
// The buffer counts batches. A batch is what one commit of the state has changed: the events of one log entry on a quiet
// server and of up to some hundred under load, so that a subscription has the more room the faster it has to be.
//
// A renewal with the same key and status writes nothing to the log (it is the bulk of what a leader does), so there is no
// log entry to make an event of, and its event, of topic Identity, is different: the server that signed it makes it, and
// only while somebody subscribes to that topic there. It is in no buffer: who was not connected does not get it. Its index
// is that of the subscription: everything up to it has been delivered before, so that to go on with the index plus one is
// right after such a frame, too. Too slow a subscription to them also ends with ErrGap.
//
// It refuses to know the log, the state, time and the network. Package fsm publishes, package rpc subscribes.
package events
