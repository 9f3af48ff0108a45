// Package monitor sends the log of this process, as it is written, to somebody who asks for it.
//
// It promises:
//   - a level of its own: what is followed at debug is not what the agent's own log shows, nor the other way round;
//   - whoever writes to the log never waits for a follower, and costs nothing more while there is none. A follower that is
//     too slow loses lines, and is told how many and where;
//   - a follower costs a bounded amount of memory, and Max of them may there be in a process;
//   - it adds nothing to the log's lines: that no secret is in the log is what makes it safe to send.
//
// Package rpc uses it on servers, client on nodes, httpapi for the agent that is asked itself.
package monitor
