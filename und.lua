print(undefinedvar)
