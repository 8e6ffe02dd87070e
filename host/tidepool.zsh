#compdef tidepool
# tidepool.zsh - completion for zsh: options, Lua files, job scripts.

_tidepool_script() {
  local -a scripts=(${(f)"$($words[1] --list 2>/dev/null |
    sed 's/:/\\:/g; s/  */:/')"})
  _describe 'job script' scripts
}

_arguments -S -s \
  '*-e+[run a Lua text]:Lua text: ' \
  '*-l+[require a module into a global]:module: ' \
  '(1)-m+[run a module as the script]:job script:_tidepool_script' \
  '*-I+[look for modules there first]:folder:_files -/' \
  '-i[go on at the prompt after the script]' \
  '-v[show the version of Lua]' \
  '-E[ignore LUA_INIT, LUA_PATH and LUA_CPATH]' \
  '-W[turn warnings on]' \
  '-j+[workers of a pool that does not say how many]:number: ' \
  '(1)--check[parse files only]:*:Lua file:_files -g "*.lua"' \
  '--strict[undeclared globals are errors]' \
  '--text-only[refuse binary chunks]' \
  '(- *)--list[list the job scripts]' \
  '(- *)--help[show the options]' \
  '(- *)--version[show the versions of all parts]' \
  '1:script:_files -g "*.lua"' \
  '*:::argument:_files'
