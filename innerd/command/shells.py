"""Completion for elvish and powershell, which click has not. Importing this makes them known to click.

Both ask as click's fish does: the words and what stands at the cursor, in the environment; a line an answer, with what
it is for behind a tab.
"""

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

_ELVISH = """\
use str
set edit:completion:arg-completer[%(prog_name)s] = {|@words|
    tmp E:COMP_WORDS = (str:join ' ' $words[..-1])
    tmp E:COMP_CWORD = $words[-1]
    tmp E:%(complete_var)s = elvish_complete
    e:%(prog_name)s | each {|line|
        var word help = (str:split "\\t" $line)
        edit:complex-candidate $word &display=$word'  '$help
    }
}
"""

_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($word, $line, $cursor)
    $given = $line.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursor } | ForEach-Object { "$_" }
    $env:COMP_WORDS = $given -join ' '
    $env:COMP_CWORD = $word
    $env:%(complete_var)s = 'powershell_complete'
    try {
        %(prog_name)s | ForEach-Object {
            $text, $help = $_ -split "`t", 2
            if (-not $help) { $help = $text }
            [System.Management.Automation.CompletionResult]::new($text, $text, 'ParameterValue', $help)
        }
    } finally {
        Remove-Item Env:COMP_WORDS, Env:COMP_CWORD, Env:%(complete_var)s -ErrorAction SilentlyContinue
    }
}
"""


class _Asking(ShellComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        from os import environ

        return split_arg_string(environ["COMP_WORDS"])[1:], environ.get("COMP_CWORD", "")

    def format_completion(self, item: CompletionItem) -> str:
        said = " ".join((item.help or "").split())
        return f"{item.value}\t{said}"


class Elvish(_Asking):
    name = "elvish"
    source_template = _ELVISH


class PowerShell(_Asking):
    name = "powershell"
    source_template = _POWERSHELL


add_completion_class(Elvish)
add_completion_class(PowerShell)
