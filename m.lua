print("m", arg[0], #arg, ...)
