return {v="sp", f=function() return "spf" end}
