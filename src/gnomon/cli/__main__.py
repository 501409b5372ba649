from gnomon.cli.main import main

main()
