# tidepool.bash - completion for bash: options, Lua files, job scripts.

# tidepool_state WORD...: what comes after these words.
_tidepool_state() {
  local word state=option
  for word; do
    case $state:$word in
    value:* | folder:*) state=option ;;
    option:-[elj]) state=value ;;
    option:-I) state=folder ;;
    option:-m) state=module ;;
    option:--check | check:*) state=check ;;
    option:--) state=script ;;
    option:-m* | option:- | module:* | option:[!-]* | script:*) state=argument ;;
    esac
  done
  echo $state
}

# _tidepool_ask PROGRAM OPTION SED WORD: of what it prints, what begins so.
_tidepool_ask() {
  compgen -W "$("$1" "$2" 2>/dev/null | sed -n "$3")" -- "$4"
}

_tidepool() {
  local word=$2 state
  state=$(_tidepool_state "${COMP_WORDS[@]:1:COMP_CWORD-1}")
  [[ $state$word != option-* ]] || state=options
  case $state in
  options)
    mapfile -t COMPREPLY < <(_tidepool_ask "$1" --help \
      's/^  \(--\{0,1\}[[:alnum:]][^ ]*\).*/\1/p' "$word") ;;
  module)
    mapfile -t COMPREPLY < <(_tidepool_ask "$1" --list 's/ .*//;p' "$word") ;;
  folder)
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
  option | script | check)
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$word"
      compgen -f -X '!*.lua' -- "$word") ;;
  value)
    COMPREPLY=() && compopt +o bashdefault +o default 2>/dev/null ;;
  argument)
    COMPREPLY=() ;;
  esac
}

complete -o bashdefault -o default -F _tidepool tidepool
