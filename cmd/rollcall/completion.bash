# Completion of rollcall for bash, which needs nothing but bash. What stands on the line is handed over as it is
# and never evaluated: the key that completes must not run a command substitution.

_rollcall() {
  local cur=${COMP_WORDS[COMP_CWORD]} line
  local -a request=("${COMP_WORDS[@]:0:COMP_CWORD}")
  COMPREPLY=()
  request[0]=${request[0]/#\~\//$HOME/}
  if [[ $cur == -* ]]; then
    request+=("$cur")
  fi
  while IFS= read -r line; do
    line=${line%%:*}
    if [[ -n $line && $line == "$cur"* ]]; then
      COMPREPLY+=("$line")
    fi
  done < <("${request[@]}" --generate-shell-completion 2>/dev/null)
}

complete -o bashdefault -o default -F _rollcall rollcall
